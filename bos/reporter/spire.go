package reporter

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// spireWorkload ends the SPIFFE id under which a reporter is registered.
const spireWorkload = "/workload/bos-reporter"

// svid is a JWT with the identity it stands for.
type svid struct {
	ID    string `json:"spiffe_id"`
	Token string `json:"svid"`
}

// choose returns the reporter's own token, or the first.
func choose(svids []svid) (string, error) {
	for _, s := range svids {
		if strings.HasSuffix(s.ID, spireWorkload) && s.Token != "" {
			return cleanToken([]byte(s.Token))
		}
	}
	for _, s := range svids {
		if s.Token != "" {
			return cleanToken([]byte(s.Token))
		}
	}
	return "", errors.New("the SPIRE agent gave no token")
}

// SpireClient runs the SPIRE agent's own client, and takes the token from its JSON output. SPIRE recognises a
// workload by the path of the program that asks, hence the hard link that Path usually is.
type SpireClient struct {
	Path     string // such as /usr/bin/bos-reporter-spire-agent
	Audience string
	Socket   string
}

// Token runs the client. As for [TokenCommand], it has 30 seconds.
func (c SpireClient) Token(ctx context.Context, _ bool) (string, error) {
	out, err := TokenCommand{Args: []string{c.Path, "api", "fetch", "jwt",
		"-audience", c.Audience, "-socketPath", c.Socket, "-output", "json"}}.run(ctx)
	if err != nil {
		return "", err
	}
	var answer []struct {
		SVIDs []svid `json:"svids"`
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		return "", fmt.Errorf("%s: its output is not the JSON document expected", c.Path)
	}
	var svids []svid
	for _, a := range answer {
		svids = append(svids, a.SVIDs...)
	}
	return choose(svids)
}

// SpireSocket asks the SPIRE agent itself, over the SPIFFE Workload API. The workload that SPIRE sees is then the
// program that calls this, which must be registered. Source: SPIFFE Workload API, FetchJWTSVID.
type SpireSocket struct {
	Audience string
	Socket   string
}

// spireTimeout is how long the agent may take. It attests the caller meanwhile.
const spireTimeout = 30 * time.Second

// Token asks for the tokens of every identity of this process and takes its own.
func (s SpireSocket) Token(ctx context.Context, _ bool) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, spireTimeout)
	defer cancel()
	answer, err := s.call(ctx, "/SpiffeWorkloadAPI/FetchJWTSVID", appendField(nil, 1, s.Audience))
	if err != nil {
		return "", fmt.Errorf("%s: %w", s.Socket, err)
	}
	svids, err := readSVIDs(answer)
	if err != nil {
		return "", fmt.Errorf("%s: %w", s.Socket, err)
	}
	return choose(svids)
}

// call makes one gRPC call with one message each way: a POST over cleartext HTTP/2, each message behind a flag byte
// and its length in four, and the status in the trailer.
func (s SpireSocket) call(ctx context.Context, method string, message []byte) ([]byte, error) {
	body := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://localhost"+method,
		bytes.NewReader(append(body, message...)))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("TE", "trailers")
	req.Header.Set("workload.spiffe.io", "true") // the agent insists on it

	tr := &http.Transport{
		Protocols: new(http.Protocols),
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", s.Socket)
		},
		DisableCompression: true,
	}
	tr.Protocols.SetUnencryptedHTTP2(true)
	defer tr.CloseIdleConnections()
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %s", resp.Status)
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return nil, err
	}
	status, text := resp.Trailer.Get("Grpc-Status"), resp.Trailer.Get("Grpc-Message")
	if status == "" { // an answer without a message has its status in the header
		status, text = resp.Header.Get("Grpc-Status"), resp.Header.Get("Grpc-Message")
	}
	if status != "0" {
		return nil, fmt.Errorf("gRPC status %q %q", status, text)
	}
	if len(answer) < 5 || answer[0] != 0 || uint32(len(answer)-5) < binary.BigEndian.Uint32(answer[1:5]) {
		return nil, errors.New("the answer is not a gRPC message")
	}
	return answer[5 : 5+binary.BigEndian.Uint32(answer[1:5])], nil
}

// readSVIDs decodes a JWTSVIDResponse: field 1, repeated, is a message of 1 the SPIFFE id and 2 the token.
func readSVIDs(message []byte) ([]svid, error) {
	var svids []svid
	err := eachField(message, func(field int, value []byte) error {
		if field != 1 {
			return nil
		}
		var s svid
		err := eachField(value, func(field int, value []byte) error {
			switch field {
			case 1:
				s.ID = string(value)
			case 2:
				s.Token = string(value)
			}
			return nil
		})
		svids = append(svids, s)
		return err
	})
	return svids, err
}

// Wire types of protocol buffers.
const (
	wireVarint = 0
	wire64     = 1
	wireBytes  = 2
	wire32     = 5
)

// appendField appends a string field to a protocol buffers message.
func appendField(b []byte, field int, value string) []byte {
	b = binary.AppendUvarint(b, uint64(field)<<3|wireBytes)
	b = binary.AppendUvarint(b, uint64(len(value)))
	return append(b, value...)
}

// eachField calls fn for the fields of a protocol buffers message that have a length, and skips the others.
func eachField(b []byte, fn func(field int, value []byte) error) error {
	errBroken := errors.New("the answer is not a protocol buffers message")
	varint := func() (uint64, bool) {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return 0, false
		}
		b = b[n:]
		return v, true
	}
	for len(b) > 0 {
		key, ok := varint()
		if !ok {
			return errBroken
		}
		skip := uint64(0)
		switch key & 7 {
		case wireVarint:
			if _, ok := varint(); !ok {
				return errBroken
			}
			continue
		case wire64:
			skip = 8
		case wire32:
			skip = 4
		case wireBytes:
			n, ok := varint()
			if !ok || n > uint64(len(b)) {
				return errBroken
			}
			if err := fn(int(key>>3), b[:n]); err != nil {
				return err
			}
			skip = n
		default:
			return errBroken
		}
		if skip > uint64(len(b)) {
			return errBroken
		}
		b = b[skip:]
	}
	return nil
}
