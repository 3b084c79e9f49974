// A small reference client of siftfunnel's wire format (docs/wire.md); without arguments it says how it is used.
package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
)

const usage = `usage: siftfunnel-client [FLAGS] describe MANIFEST SERVER
       siftfunnel-client [FLAGS] encode   MANIFEST CODEC FEATURES          payloads, a line of hex for each feature
       siftfunnel-client [FLAGS] decode   MANIFEST CODEC PAYLOADS          features, from such lines
       siftfunnel-client [FLAGS] infer    MANIFEST CODEC FEATURES SERVER   a call for each feature; answers as JSON lines
       siftfunnel-client [FLAGS] stream   MANIFEST CODEC FEATURES SERVER   one call for all of them
MANIFEST is a bundle's manifest.json, FEATURES a file of little-endian float32, one feature after the other,
SERVER is HOST:PORT. The variable SIFTFUNNEL_TOKEN is sent as bearer token.
`

var (
	ca     = flag.String("ca", "", "speak TLS; `FILE` has the certificate of the authority that signed the server's")
	topK   = flag.Int("top-k", 1, "classes of each answer")
	staged = flag.Bool("staged", false, "the features already have what the bundle's edge stages do to them")
	wanted = map[string]int{"describe": 3, "encode": 4, "decode": 4, "infer": 5, "stream": 5}
)

func main() {
	flag.Usage = func() {
		fmt.Fprint(os.Stderr, usage)
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() == 0 || flag.NArg() != wanted[flag.Arg(0)] {
		flag.Usage()
		os.Exit(2)
	}
	out := bufio.NewWriter(os.Stdout)
	err := run(flag.Arg(0), flag.Args()[1:], out)
	out.Flush()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(command string, arguments []string, out *bufio.Writer) error {
	stored, err := os.ReadFile(arguments[0])
	if err != nil {
		return err
	}
	manifest, err := ReadManifest(stored)
	if err != nil {
		return err
	}
	if command == "describe" {
		return describe(manifest, arguments[1], out)
	}
	codec, err := NewCodec(manifest, arguments[1])
	if err != nil {
		return err
	}
	data, err := os.ReadFile(arguments[2])
	if err != nil {
		return err
	}
	if command == "decode" {
		return decode(codec, string(data), out)
	}
	// a stage that is left out would send more than the defence allows
	if len(manifest.EdgeStages) > 0 && !*staged {
		return fmt.Errorf("the bundle has edge stages %v: apply them, then say --staged", manifest.EdgeStages)
	}
	next, err := framesOf(codec, data)
	if err != nil {
		return err
	}
	if command == "encode" {
		return each(next, func(frame *Frame) error {
			_, err := fmt.Fprintln(out, hex.EncodeToString(frame.Payload))
			return err
		})
	}
	return ask(manifest, arguments[3], command == "stream", next, json.NewEncoder(out))
}

func connect(server string, manifest *Manifest) (*Client, error) {
	return Connect(server, manifest, Options{*ca, os.Getenv("SIFTFUNNEL_TOKEN"), *topK})
}

func describe(manifest *Manifest, server string, out *bufio.Writer) error {
	client, err := connect(server, manifest)
	if err != nil {
		return err
	}
	defer client.Close()
	described, err := client.Describe()
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(described)
}

func ask(manifest *Manifest, server string, streamed bool, next frames, out *json.Encoder) error {
	client, err := connect(server, manifest)
	if err != nil {
		return err
	}
	defer client.Close()
	if streamed {
		return client.Stream(next, func(answer *Answer) error { return out.Encode(answer) })
	}
	return each(next, func(frame *Frame) error {
		answer, err := client.Infer(frame)
		if err != nil {
			return err
		}
		return out.Encode(answer)
	})
}

func decode(codec *Codec, lines string, out *bufio.Writer) error {
	for _, line := range strings.Fields(lines) {
		payload, err := hex.DecodeString(line)
		if err != nil {
			return err
		}
		values, err := codec.Decode(payload)
		if err != nil {
			return err
		}
		out.Write(floatsToBytes(values))
	}
	return nil
}

// frames gives one frame after the other, and nil at the end.
type frames = func() (*Frame, error)

// framesOf numbers frames from 0 on, of one feature each.
func framesOf(codec *Codec, data []byte) (frames, error) {
	featureBytes := 4 * codec.size
	if len(data)%featureBytes != 0 {
		return nil, fmt.Errorf("%d bytes are no whole features of %d", len(data), featureBytes)
	}
	sequence := uint64(0)
	return func() (*Frame, error) {
		start := int(sequence) * featureBytes
		if start == len(data) {
			return nil, nil
		}
		payload, err := codec.Encode(bytesToFloats(data[start : start+featureBytes]))
		frame := &Frame{Sequence: sequence, Codec: uint32(codec.Index), Payload: payload}
		sequence++
		return frame, err
	}, nil
}

func each(next frames, do func(*Frame) error) error {
	for {
		frame, err := next()
		if err != nil || frame == nil {
			return err
		}
		if err := do(frame); err != nil {
			return err
		}
	}
}
