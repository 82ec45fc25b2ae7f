// Consistency of two checkpoints, and inclusion of records, from the log's tiles alone.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const tileHeight = 8

// tileFolder reads tiles as c2sp.org/tlog-tiles lays them out: tlog's own path of a tile begins
// with its height, that of tlog-tiles does not.
type tileFolder struct {
	path string
	read int
}

func (folder *tileFolder) Height() int { return tileHeight }

func (folder *tileFolder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		own := strings.TrimPrefix(tile.Path(), fmt.Sprintf("tile/%d/", tileHeight))
		bytes, err := os.ReadFile(filepath.Join(folder.path, "tile", filepath.FromSlash(own)))
		if os.IsNotExist(err) && tile.W < 1<<tileHeight {
			// A partial tile may have become a full one since.
			full := tile
			full.W = 1 << tileHeight
			own = strings.TrimPrefix(full.Path(), fmt.Sprintf("tile/%d/", tileHeight))
			bytes, err = os.ReadFile(filepath.Join(folder.path, "tile", filepath.FromSlash(own)))
			if err == nil && len(bytes) >= tile.W*tlog.HashSize {
				bytes = bytes[:tile.W*tlog.HashSize]
			}
		}
		if err != nil {
			return nil, err
		}
		folder.read++
		all = append(all, bytes)
	}
	return all, nil
}

// TileHashReader has checked the tiles against the tree's root by then.
func (folder *tileFolder) SaveTiles([]tlog.Tile, [][]byte) {}

// checkConsistency says how many records' inclusion it proved beside the two trees' consistency.
func checkConsistency(folder string, older, newer checkpoint) (int, error) {
	if older.origin != newer.origin || older.tree.N > newer.tree.N {
		return 0, fmt.Errorf("not an older checkpoint of the same log: %d records of %s, then %d of %s",
			older.tree.N, older.origin, newer.tree.N, newer.origin)
	}
	hashes := tlog.TileHashReader(newer.tree, &tileFolder{path: folder})
	// Neither proves anything of a tree of no records, whose root says all.
	if older.tree.N > 0 {
		proof, err := tlog.ProveTree(newer.tree.N, older.tree.N, hashes)
		if err != nil {
			return 0, fmt.Errorf("prove the older tree: %w", err)
		}
		err = tlog.CheckTree(proof, newer.tree.N, newer.tree.Hash, older.tree.N, older.tree.Hash)
		if err != nil {
			return 0, fmt.Errorf("the older tree: %w", err)
		}
	}
	checked := 0
	for _, index := range someIndexes(newer.tree.N) {
		leaf, err := hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
		if err != nil {
			return 0, fmt.Errorf("record %d: %w", index+1, err)
		}
		proof, err := tlog.ProveRecord(newer.tree.N, index, hashes)
		if err != nil {
			return 0, fmt.Errorf("prove record %d: %w", index+1, err)
		}
		err = tlog.CheckRecord(proof, newer.tree.N, newer.tree.Hash, index, leaf[0])
		if err != nil {
			return 0, fmt.Errorf("record %d: %w", index+1, err)
		}
		checked++
	}
	return checked, nil
}

// someIndexes are the first, the last, and about 64 between them; both sides of each edge of a tile
// that is near one of these.
func someIndexes(size int64) []int64 {
	var indexes []int64
	step := size/64 + 1
	for index := int64(0); index < size; index += step {
		indexes = append(indexes, index)
		if edge := index &^ 255; edge > 0 && edge < size {
			indexes = append(indexes, edge-1, edge)
		}
	}
	if size > 1 {
		indexes = append(indexes, size-1)
	}
	return indexes
}
