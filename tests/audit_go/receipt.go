// Receipts: each leaf's inclusion proof, checked with golang.org/x/mod/sumdb/tlog.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"

	"golang.org/x/mod/sumdb/tlog"
)

type receipt struct {
	Object     string         `json:"object"`
	RequestID  string         `json:"request_id"`
	Checkpoint string         `json:"checkpoint"`
	Key        string         `json:"key"`
	Records    []provedRecord `json:"records"`
}

type provedRecord struct {
	Sequence int64           `json:"sequence"`
	Leaf     []byte          `json:"leaf"`
	Proof    [][]byte        `json:"proof"`
	Record   json.RawMessage `json:"record"`
}

const frameHeadBytes = 64

// checkReceipt says how many records of which tree were proved.
func checkReceipt(path, verifierKey string) (int, checkpoint, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, checkpoint{}, err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var read receipt
	if err := decoder.Decode(&read); err != nil {
		return 0, checkpoint{}, fmt.Errorf("receipt: %w", err)
	}
	if read.Object != "audit.receipt" || len(read.Records) == 0 {
		return 0, checkpoint{}, errors.New("receipt: not one, or without records")
	}
	signed, err := openCheckpoint([]byte(read.Checkpoint), verifierKey)
	if err != nil {
		return 0, checkpoint{}, err
	}
	for _, record := range read.Records {
		if err := record.check(signed.tree); err != nil {
			return 0, checkpoint{}, fmt.Errorf("record %d: %w", record.Sequence, err)
		}
	}
	return len(read.Records), signed, nil
}

func (record provedRecord) check(tree tlog.Tree) error {
	if record.Sequence < 1 || len(record.Leaf) < frameHeadBytes ||
		binary.LittleEndian.Uint64(record.Leaf[8:]) != uint64(record.Sequence) {
		return errors.New("the leaf data is of another sequence")
	}
	proof := tlog.RecordProof{}
	for _, hash := range record.Proof {
		if len(hash) != tlog.HashSize {
			return fmt.Errorf("a hash of %d bytes in its proof: %s", len(hash),
				base64.StdEncoding.EncodeToString(hash))
		}
		var one tlog.Hash
		copy(one[:], hash)
		proof = append(proof, one)
	}
	err := tlog.CheckRecord(proof, tree.N, tree.Hash, record.Sequence-1,
		tlog.RecordHash(record.Leaf))
	if err != nil {
		return err
	}
	var proved, shown map[string]any
	if err := json.Unmarshal(record.Leaf[frameHeadBytes:], &proved); err != nil {
		return fmt.Errorf("its body: %w", err)
	}
	if err := json.Unmarshal(record.Record, &shown); err != nil {
		return fmt.Errorf("what is shown of it: %w", err)
	}
	if !reflect.DeepEqual(proved, shown) {
		return errors.New("what is shown of it is not what was proved")
	}
	return nil
}
