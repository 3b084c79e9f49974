package main

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

const sealBytes = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// crc32c is the checksum over some pieces, one behind the other.
func crc32c(pieces ...[]byte) uint32 {
	value := uint32(0)
	for _, piece := range pieces {
		value = crc32.Update(value, castagnoli, piece)
	}
	return value
}

// A body is a feature without its checksum; the lengths that can be right are known beforehand.
type body struct {
	leastBytes, mostBytes int
	write                 func(values []float32) []byte
	read                  func(body []byte) ([]float32, error)
}

// Codec turns feature tensors into payloads and back, for the kinds "float" (float32), "affine" and "table".
type Codec struct {
	Index  int
	size   int
	body   body
	prefix []byte
}

// NewCodec makes the codec of a manifest that people call by a name.
func NewCodec(manifest *Manifest, name string) (*Codec, error) {
	known := []string{}
	for index, spec := range manifest.Codecs {
		known = append(known, spec.Name)
		if spec.Name != name {
			continue
		}
		bodyOf, found := bodies[spec.Kind]
		if !found {
			return nil, fmt.Errorf("codec %s: this client does not know kind %s", name, spec.Kind)
		}
		body := bodyOf(spec.Parameters, manifest.Channels, manifest.Positions)
		digest, err := hex.DecodeString(manifest.Digest)
		if *spec.Parameters.err != nil {
			err = *spec.Parameters.err
		}
		return &Codec{index, manifest.Channels * manifest.Positions, body, append(digest, byte(index))}, err
	}
	return nil, fmt.Errorf("no codec %s; there are: %v", name, known)
}

// Encode makes one sealed payload of finite values, ordered channel, row, column.
func (c *Codec) Encode(values []float32) ([]byte, error) {
	if len(values) != c.size {
		return nil, fmt.Errorf("%d values, expected %d", len(values), c.size)
	}
	if !finite(values) {
		return nil, errors.New("features hold NaN or infinity")
	}
	body := c.body.write(values)
	seal := make([]byte, sealBytes)
	binary.LittleEndian.PutUint32(seal, crc32c(c.prefix, body))
	return append(body, seal...), nil
}

// Decode gives the values of a payload, or an error where it is not one that Encode makes.
func (c *Codec) Decode(payload []byte) ([]float32, error) {
	end := len(payload) - sealBytes
	if end < c.body.leastBytes || end > c.body.mostBytes {
		return nil, fmt.Errorf("body of %d bytes, expected %d to %d", end, c.body.leastBytes, c.body.mostBytes)
	}
	if binary.LittleEndian.Uint32(payload[end:]) != crc32c(c.prefix, payload[:end]) {
		return nil, errors.New("checksum differs: the payload is damaged, or of another bundle or codec")
	}
	return c.body.read(payload[:end])
}

var bodies = map[string]func(parameters *Fields, channels, positions int) body{
	"float":  floatBody,
	"affine": affineBody,
	"table":  tableBody,
}

func floatBody(parameters *Fields, channels, positions int) body {
	parameters.exactly("dtype")
	if parameters.text("dtype") != "float32" {
		parameters.fail("this client knows float32 alone")
	}
	read := func(body []byte) ([]float32, error) {
		values := bytesToFloats(body)
		if !finite(values) {
			return nil, errors.New("body holds NaN or infinity")
		}
		return values, nil
	}
	return body{4 * channels * positions, 4 * channels * positions, floatsToBytes, read}
}

func affineBody(parameters *Fields, channels, positions int) body {
	parameters.exactly("step", "zero_level")
	steps := []float32{float32(parameters.number("step"))}
	q := quantiser{256, steps, []byte{byte(parameters.integer("zero_level", 0, 255))}, channels * positions}
	q.check(parameters)
	read := func(levels []byte) ([]float32, error) { return q.dequantise(levels), nil }
	return body{channels * positions, channels * positions, q.quantise, read}
}

func tableBody(parameters *Fields, channels, positions int) body {
	parameters.exactly("levels", "precision_bits", "steps", "zero_levels", "counts")
	levels, bits := parameters.integer("levels", 2, 256), parameters.integer("precision_bits", 12, 16)
	steps := bytesToFloats(parameters.base64("steps", 4*channels))
	q := quantiser{levels, steps, parameters.base64("zero_levels", channels), positions}
	q.check(parameters)
	counts := parameters.base64("counts", 2*channels*levels)
	rows := make([][]uint64, channels)
	for channel := range rows {
		rows[channel] = table(parameters, counts[2*levels*channel:2*levels*(channel+1)], uint64(1)<<bits)
	}
	mostBytes := 4*((channels*positions*(bits+1)+31)/32) + 16
	write := func(values []float32) []byte { return writeLevels(q.quantise(values), rows, positions) }
	read := func(body []byte) ([]float32, error) {
		levels, err := readLevels(body, rows, positions)
		return q.dequantise(levels), err
	}
	return body{0, mostBytes, write, read}
}

// table is a row of counts as edges, checked: every count is 1 or more, and they add up to total.
func table(parameters *Fields, stored []byte, total uint64) []uint64 {
	counts, sum := make([]uint16, len(stored)/2), uint64(0)
	for level := range counts {
		counts[level] = binary.LittleEndian.Uint16(stored[2*level:])
		sum += uint64(counts[level])
		if counts[level] == 0 {
			parameters.fail("counts hold a 0")
		}
	}
	if sum != total {
		parameters.fail("counts of a channel add up to %d, not %d", sum, total)
	}
	return leftEdges(counts, total)
}

// A quantiser has one step and one zero level for each group of values. All its arithmetic is of float32; the
// conversions keep the compiler from fusing operations.
type quantiser struct {
	levels int
	steps  []float32
	zeros  []byte
	each   int
}

func (q *quantiser) check(parameters *Fields) {
	for group, step := range q.steps {
		if !(step >= 1e-30 && step <= 1e30) || int(q.zeros[group]) >= q.levels {
			parameters.fail("a step or a zero level is out of range")
		}
	}
}

func (q *quantiser) quantise(values []float32) []byte {
	levels := make([]byte, len(values))
	for place, value := range values {
		step, zero := q.steps[place/q.each], float32(q.zeros[place/q.each])
		lowest, highest := float32(-zero*step), float32((float32(q.levels-1)-zero)*step)
		// clipped first, or the division could overflow
		if value < lowest {
			value = lowest
		} else if value > highest {
			value = highest
		}
		levels[place] = byte(float32(math.RoundToEven(float64(float32(value/step)))) + zero)
	}
	return levels
}

func (q *quantiser) dequantise(levels []byte) []float32 {
	values := make([]float32, len(levels))
	for place, level := range levels {
		values[place] = (float32(level) - float32(q.zeros[place/q.each])) * q.steps[place/q.each]
	}
	return values
}

func finite(values []float32) bool {
	for _, value := range values {
		if math.IsNaN(float64(value)) || math.IsInf(float64(value), 0) {
			return false
		}
	}
	return true
}

func floatsToBytes(values []float32) []byte {
	data := make([]byte, 4*len(values))
	for place, value := range values {
		binary.LittleEndian.PutUint32(data[4*place:], math.Float32bits(value))
	}
	return data
}

func bytesToFloats(data []byte) []float32 {
	values := make([]float32, len(data)/4)
	for place := range values {
		values[place] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*place:]))
	}
	return values
}
