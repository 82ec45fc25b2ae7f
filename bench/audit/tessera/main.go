// tessera_bench measures Tessera (POSIX driver) as audit_bench measures the audit log: goroutines
// that each wait for one entry before they add the next.
package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
	"k8s.io/klog/v2"
)

const entryBytes = 400

// The driver takes no shorter checkpoint interval.
const checkpointInterval = 100 * time.Millisecond

type figures struct {
	perSecond, p50ms, p99ms, maxMs, cpuPer1000 float64
}

type contender struct {
	name      string
	published bool // wait until a published checkpoint covers the entry
	defaults  bool // Tessera's own batching, not that which suits waiting writers
}

func main() {
	seconds := flag.Float64("seconds", 3, "length of a run")
	rounds := flag.Int("rounds", 1, "runs of each row")
	list := flag.String("writers", "1,8,64", "numbers of writers")
	batch := flag.Uint("batch", 0, "entries a batch; 0: as many as there are writers, 256 at most")
	age := flag.Duration("age", 5*time.Millisecond, "a batch waits no longer for more entries")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "use: tessera_bench [flags] FOLDER")
		flag.PrintDefaults()
	}
	flag.Parse()
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(64)
	}
	if err := run(flag.Arg(0), *list, *seconds, *rounds, *batch, *age); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(folder, list string, seconds float64, rounds int, batch uint, age time.Duration) error {
	contenders := []contender{
		{name: "Tessera"},
		{name: "Tessera, published", published: true},
		{name: "Tessera, defaults", defaults: true},
	}
	type row struct {
		writers int
		name    string
	}
	taken := map[row][]figures{}
	var order []row
	for round := range rounds {
		fmt.Printf("round %d\n", round+1)
		printHeader()
		for _, text := range strings.Split(list, ",") {
			writers, err := strconv.Atoi(text)
			if err != nil || writers < 1 {
				return fmt.Errorf("%q is no number of writers", text)
			}
			for i, c := range contenders {
				log := filepath.Join(folder, fmt.Sprintf("%d-%d-%d", round, writers, i))
				got, err := measure(c, log, writers, seconds, batch, age)
				if err != nil {
					return fmt.Errorf("%s: %w", c.name, err)
				}
				printRow(c.name, writers, got)
				at := row{writers, c.name}
				if taken[at] == nil {
					order = append(order, at)
				}
				taken[at] = append(taken[at], got)
			}
		}
	}
	if rounds > 1 {
		fmt.Printf("medians of %d rounds\n", rounds)
		printHeader()
		for _, at := range order {
			printRow(at.name, at.writers, median(taken[at]))
		}
	}
	return nil
}

func open(ctx context.Context, c contender, folder string, writers int, batch uint, age time.Duration) (
	*tessera.Appender, func(context.Context) error, tessera.LogReader, error) {
	secret, _, err := note.GenerateKey(rand.Reader, "deepmoat/bench")
	if err != nil {
		return nil, nil, nil, err
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		return nil, nil, nil, err
	}
	driver, err := posix.New(ctx, posix.Config{Path: folder})
	if err != nil {
		return nil, nil, nil, err
	}
	options := tessera.NewAppendOptions().
		WithCheckpointSigner(signer).
		WithCheckpointInterval(checkpointInterval)
	if !c.defaults {
		if batch == 0 {
			batch = min(uint(writers), tessera.DefaultBatchMaxSize)
		}
		options = options.WithBatching(batch, age)
	}
	return tessera.NewAppender(ctx, driver, options)
}

func measure(c contender, folder string, writers int, seconds float64, batch uint, age time.Duration) (figures, error) {
	syscall.Sync()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	appender, shutdown, reader, err := open(ctx, c, folder, writers, batch, age)
	if err != nil {
		return figures{}, err
	}
	var awaiter *tessera.PublicationAwaiter
	if c.published {
		awaiter = tessera.NewPublicationAwaiter(ctx, reader.ReadCheckpoint, 10*time.Millisecond)
	}
	add := func(body []byte) error {
		future := appender.Add(ctx, tessera.NewEntry(body))
		if awaiter != nil {
			_, _, err := awaiter.Await(ctx, future)
			return err
		}
		_, err := future()
		return err
	}
	// The first entry makes the folders of a new log.
	if err := add(make([]byte, entryBytes)); err != nil {
		return figures{}, err
	}
	got, err := runWriters(writers, seconds, add)
	return got, errors.Join(err, shutdown(ctx))
}

func runWriters(writers int, seconds float64, add func([]byte) error) (figures, error) {
	waits := make([][]float64, writers)
	errs := make([]error, writers)
	cpuBefore := cpuSeconds()
	start := time.Now()
	end := start.Add(time.Duration(seconds * float64(time.Second)))
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			// No two entries are alike, as no two records are.
			body := make([]byte, entryBytes)
			binary.LittleEndian.PutUint64(body, uint64(w))
			for n := uint64(0); time.Now().Before(end) && errs[w] == nil; n++ {
				binary.LittleEndian.PutUint64(body[8:], n)
				before := time.Now()
				errs[w] = add(slices.Clone(body))
				waits[w] = append(waits[w], time.Since(before).Seconds()*1e3)
			}
		})
	}
	group.Wait()
	elapsed := time.Since(start).Seconds()
	cpu := cpuSeconds() - cpuBefore
	all := slices.Concat(waits...)
	slices.Sort(all)
	count := float64(len(all))
	return figures{
		perSecond:  count / elapsed,
		p50ms:      all[len(all)/2],
		p99ms:      all[len(all)*99/100],
		maxMs:      all[len(all)-1],
		cpuPer1000: cpu / count * 1000,
	}, errors.Join(errs...)
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

func median(rounds []figures) figures {
	middle := func(field func(figures) float64) float64 {
		var values []float64
		for _, one := range rounds {
			values = append(values, field(one))
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	return figures{
		perSecond:  middle(func(f figures) float64 { return f.perSecond }),
		p50ms:      middle(func(f figures) float64 { return f.p50ms }),
		p99ms:      middle(func(f figures) float64 { return f.p99ms }),
		maxMs:      middle(func(f figures) float64 { return f.maxMs }),
		cpuPer1000: middle(func(f figures) float64 { return f.cpuPer1000 }),
	}
}

func printHeader() {
	fmt.Printf("%-20s %11s %10s %9s %9s %9s %12s\n", "", "writers", "records/s", "p50 ms", "p99 ms",
		"max ms", "CPU s/1,000")
}

func printRow(name string, writers int, f figures) {
	fmt.Printf("%-20s %11d %10.0f %9.3f %9.3f %9.3f %12.5f\n", name, writers, f.perSecond, f.p50ms,
		f.p99ms, f.maxMs, f.cpuPer1000)
}
