package main

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

const (
	service    = "/siftfunnel.v1.SplitInference/"
	bundleKey  = "siftfunnel-bundle"
	sealTag    = 0x25 // of a reply's field "checksum", the last one; four bytes follow
	deadline   = 60 * time.Second
	replyBytes = 8 << 20 // outputs take 4 MiB of a reply unless the server was told otherwise
)

// Options of a connection.
type Options struct {
	CA    string // PEM file of the authority that signed the server's certificate; plain text without it
	Token string
	TopK  int
}

// Client is a connection to a server that serves the bundle of a manifest.
type Client struct {
	manifest *Manifest
	digest   []byte
	conn     *grpc.ClientConn
	ctx      context.Context
	bundle   *BundleDescription
}

// terms are what the server told when a call opened.
type terms struct {
	window int
	sealed bool
}

// Connect opens a connection; a server that does not serve the manifest's bundle is an error.
func Connect(server string, manifest *Manifest, options Options) (*Client, error) {
	security := grpc.WithInsecure()
	if options.CA != "" {
		authority, err := credentials.NewClientTLSFromFile(options.CA, "")
		if err != nil {
			return nil, err
		}
		security = grpc.WithTransportCredentials(authority)
	}
	// a seal is taken over bytes, so replies come as they are
	calls := grpc.WithDefaultCallOptions(grpc.ForceCodec(rawReplies{}), grpc.MaxCallRecvMsgSize(replyBytes))
	conn, err := grpc.Dial(server, security, calls)
	if err != nil {
		return nil, err
	}
	told := metadata.Pairs(bundleKey, manifest.Digest, "siftfunnel-top-k", strconv.Itoa(options.TopK))
	if options.Token != "" {
		told.Set("authorization", "Bearer "+options.Token)
	}
	digest, _ := hex.DecodeString(manifest.Digest)
	client := &Client{manifest, digest, conn, metadata.NewOutgoingContext(context.Background(), told), nil}
	return client, client.findBundle()
}

func (c *Client) findBundle() error {
	described, err := c.Describe()
	if err != nil {
		return err
	}
	served := ""
	for _, bundle := range described.Bundles {
		served += " " + bundle.Name + " " + bundle.Digest
		if bundle.Digest == c.manifest.Digest {
			c.bundle = bundle
			return nil
		}
	}
	return fmt.Errorf("the manifest is of %s %s, the server has%s", c.manifest.Name, c.manifest.Digest, served)
}

// Close ends the connection.
func (c *Client) Close() { c.conn.Close() }

// Describe asks what the server serves and takes.
func (c *Client) Describe() (*DescribeReply, error) {
	ctx, cancel := context.WithTimeout(c.ctx, deadline)
	defer cancel()
	reply := &DescribeReply{}
	return reply, c.conn.Invoke(ctx, service+"Describe", &DescribeRequest{}, reply)
}

// Infer sends one frame for one answer.
func (c *Client) Infer(frame *Frame) (*Answer, error) {
	ctx, cancel := context.WithTimeout(c.ctx, deadline)
	defer cancel()
	var reply []byte
	var header metadata.MD
	if err := c.conn.Invoke(ctx, service+"Infer", frame, &reply, grpc.Header(&header)); err != nil {
		return nil, err
	}
	agreed, err := c.agreed(header)
	if err != nil {
		return nil, err
	}
	return c.answer(frame, reply, agreed)
}

// Stream sends frames of one source as next gives them, nil at the end, and hands over an answer for each, in
// order. Never are more unanswered than the server's window.
func (c *Client) Stream(next frames, take func(*Answer) error) error {
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	call, agreed, err := c.open(ctx)
	if err != nil {
		return err
	}
	flight := &flight{call: call, next: next}
	for {
		if err := flight.fill(agreed.window); err != nil {
			return err
		}
		frame, reply, err := flight.reply()
		if frame == nil || err != nil {
			return err
		}
		answer, err := c.answer(frame, reply, agreed)
		if err != nil {
			return err
		}
		if err := take(answer); err != nil {
			return err
		}
	}
}

// open opens a stream and waits until the server has agreed on the bundle.
func (c *Client) open(ctx context.Context) (grpc.ClientStream, terms, error) {
	description := &grpc.StreamDesc{StreamName: "Stream", ClientStreams: true, ServerStreams: true}
	call, err := c.conn.NewStream(ctx, description, service+"Stream")
	if err != nil {
		return nil, terms{}, err
	}
	header, err := call.Header()
	if err == nil && len(header.Get(bundleKey)) == 0 {
		// a call that is turned down brings no digest, but its status
		err = call.RecvMsg(new([]byte))
	}
	if err != nil {
		return nil, terms{}, err
	}
	agreed, err := c.agreed(header)
	return call, agreed, err
}

// flight is the frames of a stream that have no reply yet, oldest first.
type flight struct {
	call       grpc.ClientStream
	next       frames
	unanswered []*Frame
	ended      bool
}

// fill sends frames until as many are unanswered as may be, or none is left.
func (f *flight) fill(window int) error {
	for !f.ended && len(f.unanswered) < window {
		frame, err := f.next()
		if err != nil {
			return err
		}
		if frame == nil {
			f.ended = true
			return f.call.CloseSend()
		}
		f.unanswered = append(f.unanswered, frame)
		// io.EOF means that the call is over: reply says why
		if err := f.call.SendMsg(frame); err != nil && err != io.EOF {
			return err
		}
	}
	return nil
}

// reply waits for the next reply, which is the oldest frame's; no frame at the end.
func (f *flight) reply() (*Frame, []byte, error) {
	var reply []byte
	if err := f.call.RecvMsg(&reply); err == io.EOF && len(f.unanswered) == 0 {
		return nil, nil, nil
	} else if err != nil {
		return nil, nil, fmt.Errorf("the stream ended with %d frames unanswered: %w", len(f.unanswered), err)
	}
	if len(f.unanswered) == 0 {
		return nil, nil, errors.New("a reply came that no frame was waiting for")
	}
	frame := f.unanswered[0]
	f.unanswered = f.unanswered[1:]
	return frame, reply, nil
}

// agreed reads the server's side of a call's metadata, where it repeats the digest.
func (c *Client) agreed(header metadata.MD) (terms, error) {
	first := func(key string) string {
		return append(header.Get(key), "")[0]
	}
	if first(bundleKey) != c.manifest.Digest {
		return terms{}, fmt.Errorf("the server answers for bundle %q", first(bundleKey))
	}
	window, err := strconv.Atoi(first("siftfunnel-window"))
	if err != nil || window < 1 {
		window = 1
	}
	return terms{window, first("siftfunnel-sealed") == "crc32c"}, nil
}

// Answer is what a reply says of a frame.
type Answer struct {
	Sequence uint64   `json:"sequence"`
	Classes  []Class  `json:"classes,omitempty"`
	Outputs  []Output `json:"outputs,omitempty"`
	Timings  *Timings `json:"timings,omitempty"`
	Error    *Failure `json:"error,omitempty"`
}

// Failure says why a frame has no answer, and when trying again makes sense: 0 where it does not.
type Failure struct {
	Code         string `json:"code"`
	Message      string `json:"message"`
	RetryAfterMs uint32 `json:"retry_after_ms"`
}

// Class is one of the best classes.
type Class struct {
	Index uint32  `json:"index"`
	Name  string  `json:"name"`
	Score float32 `json:"score"`
}

// Output is one output of the cloud half; its data is base64 in JSON.
type Output struct {
	Name  string   `json:"name"`
	Dtype string   `json:"dtype"`
	Shape []uint32 `json:"shape"`
	Data  []byte   `json:"data"`
}

// answer reads the reply to the oldest frame that has none.
func (c *Client) answer(frame *Frame, sealed []byte, agreed terms) (*Answer, error) {
	reply := &Reply{}
	unreadable := proto.Unmarshal(sealed, reply) != nil
	if unreadable || (agreed.sealed || reply.Checksum != nil) && !c.fits(frame, sealed) {
		damaged := &Failure{Code: "DAMAGED_REPLY", Message: "it is no reply, or its checksum differs"}
		return &Answer{Sequence: frame.Sequence, Error: damaged}, nil
	}
	if reply.Sequence != frame.Sequence {
		return nil, fmt.Errorf("frame %d was due, the reply is %d's", frame.Sequence, reply.Sequence)
	}
	if failed := reply.GetError(); failed != nil {
		failure := &Failure{failed.Code.String(), failed.Message, failed.RetryAfterMs}
		return &Answer{Sequence: frame.Sequence, Error: failure}, nil
	}
	return c.predicted(frame.Sequence, reply.GetPrediction())
}

// predicted is an answer by names; a server may name what the bundle does not have.
func (c *Client) predicted(sequence uint64, prediction *Prediction) (*Answer, error) {
	answer := &Answer{Sequence: sequence, Timings: prediction.GetTimings()}
	scores := prediction.GetScore()
	for place, index := range prediction.GetClassIndex() {
		if int(index) >= len(c.manifest.Classes) || place >= len(scores) {
			return nil, fmt.Errorf("frame %d: the reply names class %d, which has no name or no score", sequence, index)
		}
		answer.Classes = append(answer.Classes, Class{index, c.manifest.Classes[index], scores[place]})
	}
	for _, tensor := range prediction.GetOutputs() {
		if int(tensor.Output) >= len(c.bundle.Outputs) {
			return nil, fmt.Errorf("frame %d: the bundle has no output %d", sequence, tensor.Output)
		}
		told := c.bundle.Outputs[tensor.Output]
		answer.Outputs = append(answer.Outputs, Output{told.Name, told.Dtype, tensor.Shape, tensor.Data})
	}
	return answer, nil
}

// fits says whether a reply is sealed, undamaged, and about the frame's payload.
func (c *Client) fits(frame *Frame, sealed []byte) bool {
	end := len(sealed) - 5
	return end >= 0 && sealed[end] == sealTag &&
		binary.LittleEndian.Uint32(sealed[end+1:]) == crc32c(c.digest, frame.Payload, sealed[:end])
}

// rawReplies is protobuf, but for a reply that is asked for as bytes.
type rawReplies struct{}

func (rawReplies) Name() string { return "proto" }

func (rawReplies) Marshal(message interface{}) ([]byte, error) {
	return proto.Marshal(message.(proto.Message))
}

func (rawReplies) Unmarshal(data []byte, into interface{}) error {
	if raw, ok := into.(*[]byte); ok {
		// the buffer is gRPC's
		*raw = append([]byte(nil), data...)
		return nil
	}
	return proto.Unmarshal(data, into.(proto.Message))
}
