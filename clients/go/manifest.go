package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
)

const mostValues = 1 << 24

// Manifest is what both ends agree on before a byte of a payload is read (docs/wire.md, "Manifest").
type Manifest struct {
	Digest     string // SHA-256 of the stored bytes, hex: what every call names
	Name       string
	Classes    []string
	Channels   int
	Positions  int // values of each channel
	Codecs     []CodecSpec
	EdgeStages []string // kinds of what the device does to a feature before it is encoded
}

// CodecSpec is a codec; its place in the manifest's list is what the wire calls it.
type CodecSpec struct {
	Name, Kind string
	Parameters *Fields
}

var (
	inputNames  = []string{"height", "width", "mean", "std", "crop"}
	inputNames2 = append([]string{"scale", "shorter_side", "filter", "antialias", "colour", "layout", "dtype",
		"padding"}, inputNames...)
	names = []string{"schema_version", "name", "architecture", "defence", "split_point", "input", "classes",
		"label_kind", "edge_stages", "default_codec", "codecs", "files"}
	names1 = append([]string{"feature"}, names...)
	names2 = append([]string{"tensors", "outputs", "class_ids", "frames_per_run", "original_sha256"}, names...)
)

// ReadManifest reads a manifest as it is stored; a field that is missing, unknown or told twice is an error.
func ReadManifest(stored []byte) (*Manifest, error) {
	top, err := parseObject(stored)
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	digest, shape := sha256.Sum256(stored), shapeOf(top)
	manifest := &Manifest{Digest: hex.EncodeToString(digest[:]), Name: top.text("name")}
	manifest.Channels, manifest.Positions = shape[0], 1
	for _, side := range shape[1:] {
		if manifest.Positions *= side; manifest.Channels*manifest.Positions > mostValues {
			return nil, fmt.Errorf("manifest: a feature has %d values at most", mostValues)
		}
	}
	for _, class := range top.list("classes") {
		manifest.Classes = append(manifest.Classes, fmt.Sprint(class))
	}
	for _, codec := range top.objects("codecs", "name", "kind", "parameters") {
		spec := CodecSpec{codec.text("name"), codec.text("kind"), codec.object("parameters")}
		manifest.Codecs = append(manifest.Codecs, spec)
	}
	for _, stage := range top.objects("edge_stages", "kind", "parameters") {
		manifest.EdgeStages = append(manifest.EdgeStages, stage.text("kind"))
	}
	files := top.object("files")
	for name := range files.values {
		files.object(name).exactly("sha256", "size_bytes")
	}
	return manifest, *top.err
}

// shapeOf checks which fields there are, by schema, and gives the shape of the one tensor of a frame.
func shapeOf(top *Fields) []int {
	switch version := top.number("schema_version"); version {
	case 1:
		top.exactly(names1...)
		top.object("input").exactly(inputNames...)
		feature := top.object("feature")
		feature.exactly("channels", "height", "width")
		return []int{feature.side("channels"), feature.side("height"), feature.side("width")}
	case 2:
		top.exactly(names2...)
		top.object("input").exactly(inputNames2...)
		top.objects("outputs", "name", "kind", "shape", "dtype")
		tensors := top.objects("tensors", "name", "shape")
		if len(tensors) == 1 {
			return tensors[0].sides("shape")
		}
		top.fail("%d tensors in a frame; this client sends one", len(tensors))
	default:
		top.fail("schema %v is not known here", version)
	}
	return []int{1}
}

// Fields is a JSON object that is being read; the first thing that is wrong with it is kept in err.
type Fields struct {
	values map[string]interface{}
	place  string
	err    *error
}

func (f *Fields) fail(format string, arguments ...interface{}) {
	if *f.err == nil {
		*f.err = fmt.Errorf(f.place+": "+format, arguments...)
	}
}

// exactly refuses other fields: one that one end does not know may be one that protects somebody.
func (f *Fields) exactly(names ...string) {
	wanted := map[string]bool{}
	for _, name := range names {
		wanted[name] = true
		if _, found := f.values[name]; !found {
			f.fail("field %q is missing", name)
		}
	}
	for name := range f.values {
		if !wanted[name] {
			f.fail("field %q is not known here", name)
		}
	}
}

func (f *Fields) text(name string) string {
	value, ok := f.values[name].(string)
	if !ok {
		f.fail("field %q must be a text", name)
	}
	return value
}

func (f *Fields) number(name string) float64 {
	value, ok := f.values[name].(float64)
	if !ok {
		f.fail("field %q must be a number", name)
	}
	return value
}

// integer is a whole number in [least, most].
func (f *Fields) integer(name string, least, most int) int {
	value := f.number(name)
	if value != math.Trunc(value) || value < float64(least) || value > float64(most) {
		f.fail("field %q must be a whole number in [%d, %d]", name, least, most)
		return least
	}
	return int(value)
}

func (f *Fields) side(name string) int { return f.integer(name, 1, mostValues) }

func (f *Fields) list(name string) []interface{} {
	value, ok := f.values[name].([]interface{})
	if !ok {
		f.fail("field %q must be a list", name)
	}
	return value
}

func (f *Fields) sides(name string) []int {
	found := []int{}
	for index, value := range f.list(name) {
		place := fmt.Sprintf("%s[%d]", name, index)
		axis := Fields{map[string]interface{}{place: value}, f.place, f.err}
		found = append(found, axis.side(place))
	}
	if len(found) == 0 {
		f.fail("field %q must list numbers", name)
		return []int{1}
	}
	return found
}

func (f *Fields) object(name string) *Fields {
	value, ok := f.values[name].(map[string]interface{})
	if !ok {
		f.fail("field %q must be an object", name)
	}
	return &Fields{value, f.place + ": " + name, f.err}
}

func (f *Fields) objects(name string, names ...string) []*Fields {
	found := []*Fields{}
	for index, each := range f.list(name) {
		value, _ := each.(map[string]interface{})
		object := &Fields{value, fmt.Sprintf("%s: %s[%d]", f.place, name, index), f.err}
		object.exactly(names...)
		found = append(found, object)
	}
	return found
}

// base64 is an array that stands in the manifest as base64, as many bytes as are wanted.
func (f *Fields) base64(name string, bytes int) []byte {
	data, err := base64.StdEncoding.DecodeString(f.text(name))
	if err != nil || len(data) != bytes {
		f.fail("field %q holds %d bytes, not %d", name, len(data), bytes)
		return make([]byte, bytes)
	}
	return data
}

// parseObject reads JSON whose top is an object. json.Unmarshal into a map would keep the last of two equal
// keys without a word, and into a struct take "Classes" for "classes".
func parseObject(data []byte) (*Fields, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	value, err := parse(decoder)
	if err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, fmt.Errorf("something stands behind the JSON object")
	}
	object, ok := value.(map[string]interface{})
	if !ok {
		return nil, fmt.Errorf("expected a JSON object")
	}
	return &Fields{object, "manifest", new(error)}, nil
}

func parse(decoder *json.Decoder) (interface{}, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		return parseMembers(decoder)
	case json.Delim('['):
		return parseItems(decoder)
	}
	return token, nil
}

func parseMembers(decoder *json.Decoder) (interface{}, error) {
	members := map[string]interface{}{}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		name := key.(string)
		if _, twice := members[name]; twice {
			return nil, fmt.Errorf("key %q appears twice", name)
		}
		if members[name], err = parse(decoder); err != nil {
			return nil, err
		}
	}
	_, err := decoder.Token()
	return members, err
}

func parseItems(decoder *json.Decoder) (interface{}, error) {
	items := []interface{}{}
	for decoder.More() {
		item, err := parse(decoder)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	_, err := decoder.Token()
	return items, err
}
