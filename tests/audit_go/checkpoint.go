// Signed checkpoints, read with golang.org/x/mod/sumdb/note.
package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type checkpoint struct {
	origin string
	tree   tlog.Tree
}

// openCheckpoint checks who signed a checkpoint and reads it. tlog.ParseTree wants another first
// line and base64 without an origin, so the text is read by hand: origin, size, root, extensions.
func openCheckpoint(signed []byte, verifierKey string) (checkpoint, error) {
	var none checkpoint
	verifier, err := note.NewVerifier(strings.TrimSpace(verifierKey))
	if err != nil {
		return none, fmt.Errorf("verifier's key: %w", err)
	}
	opened, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return none, fmt.Errorf("checkpoint: %w", err)
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[len(lines)-1] != "" {
		return none, errors.New("checkpoint: fewer than three lines")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return none, fmt.Errorf("checkpoint: size %q", lines[1])
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return none, fmt.Errorf("checkpoint: root %q", lines[2])
	}
	if lines[0] != verifier.Name() {
		return none, fmt.Errorf("checkpoint: origin %q, but the key is that of %q", lines[0],
			verifier.Name())
	}
	read := checkpoint{origin: lines[0], tree: tlog.Tree{N: size}}
	copy(read.tree.Hash[:], root)
	return read, nil
}

func openCheckpointFile(path, verifierKey string) (checkpoint, error) {
	signed, err := os.ReadFile(path)
	if err != nil {
		return checkpoint{}, err
	}
	if bytes.Contains(signed, []byte("\r")) {
		return checkpoint{}, errors.New("checkpoint: a carriage return")
	}
	return openCheckpoint(signed, verifierKey)
}
