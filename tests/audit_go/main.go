// audit_go holds what a Deepmoat server signs and publishes of its audit log against code that is
// none of ours: Go's checksum database (golang.org/x/mod/sumdb). docs/formats/audit.md says what
// the files are. Exit status: 0 it holds, 1 it does not, 2 usage.
package main

import (
	"fmt"
	"os"
)

const usage = `audit_go checkpoint CHECKPOINT_FILE VKEY
audit_go receipt RECEIPT_FILE VKEY
audit_go consistency FOLDER OLD_CHECKPOINT NEW_CHECKPOINT VKEY
`

func run(words []string) (string, error) {
	switch words[0] {
	case "checkpoint":
		read, err := openCheckpointFile(words[1], words[2])
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("checkpoint good: %d records of %s, root %s", read.tree.N, read.origin,
			read.tree.Hash), nil
	case "receipt":
		count, read, err := checkReceipt(words[1], words[2])
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("receipt good: %d records in the tree of %d of %s", count, read.tree.N,
			read.origin), nil
	}
	older, err := openCheckpointFile(words[2], words[4])
	if err != nil {
		return "", err
	}
	newer, err := openCheckpointFile(words[3], words[4])
	if err != nil {
		return "", err
	}
	count, err := checkConsistency(words[1], older, newer)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("consistent: the tree of %d records is the beginning of that of %d; "+
		"%d records proved from its tiles", older.tree.N, newer.tree.N, count), nil
}

func main() {
	words := os.Args[1:]
	wanted := map[string]int{"checkpoint": 3, "receipt": 3, "consistency": 5}
	if len(words) == 0 || wanted[words[0]] != len(words) {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	said, err := run(words)
	if err != nil {
		fmt.Println("audit_go: " + err.Error())
		os.Exit(1)
	}
	fmt.Println(said)
}
