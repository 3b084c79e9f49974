package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sort"
)

// The entropy coder: range asymmetric numeral systems under frozen tables (docs/wire.md, "Entropy coder").
const (
	precisionBits = 24
	wordBits      = 32
	wordBytes     = 4
	quantileMask  = 1<<precisionBits - 1
)

// leftEdges says where each level begins in [0, 2^24), and 2^24 itself, from counts that add up to total.
func leftEdges(counts []uint16, total uint64) []uint64 {
	spare := uint64(1)<<precisionBits - uint64(len(counts))
	edges, passed := []uint64{0}, uint64(0)
	for level, count := range counts {
		passed += uint64(count)
		edges = append(edges, passed*spare/total+uint64(level)+1)
	}
	return edges
}

// writeLevels codes levels, of which each row of edges has as many, from the last to the first.
func writeLevels(levels []byte, rows [][]uint64, positions int) []byte {
	words, state := []uint32{}, uint64(0)
	for place := len(levels) - 1; place >= 0; place-- {
		edges, level := rows[place/positions], int(levels[place])
		left := edges[level]
		width := edges[level+1] - left
		if state>>(64-precisionBits) >= width {
			words = append(words, uint32(state))
			state >>= wordBits
		}
		state = state/width<<precisionBits + left + state%width
	}
	for ; state > 0; state >>= wordBits {
		words = append(words, uint32(state))
	}
	body := make([]byte, wordBytes*len(words))
	for index, word := range words {
		binary.LittleEndian.PutUint32(body[wordBytes*index:], word)
	}
	return body
}

// readLevels gives the levels that writeLevels wrote; any other bytes are refused.
func readLevels(body []byte, rows [][]uint64, positions int) ([]byte, error) {
	if len(body)%wordBytes != 0 {
		return nil, fmt.Errorf("body of %d bytes is not made of words: truncated", len(body))
	}
	pop := func() uint64 {
		end := len(body) - wordBytes
		word := binary.LittleEndian.Uint32(body[end:])
		body = body[:end]
		return uint64(word)
	}
	state := uint64(0)
	if len(body) > 0 {
		if state = pop(); state == 0 {
			return nil, errors.New("body ends in a word of zero, which is never written")
		}
	}
	if len(body) > 0 {
		state = state<<wordBits | pop()
	}
	levels := make([]byte, len(rows)*positions)
	for place := range levels {
		edges, quantile := rows[place/positions], state&quantileMask
		level := sort.Search(len(edges), func(next int) bool { return edges[next] > quantile }) - 1
		state = (state>>precisionBits)*(edges[level+1]-edges[level]) + quantile - edges[level]
		if state>>wordBits == 0 && len(body) > 0 {
			state = state<<wordBits | pop()
		}
		levels[place] = byte(level)
	}
	if state != 0 || len(body) > 0 {
		return nil, errors.New("body holds more than one feature tensor")
	}
	return levels, nil
}
