package reporter

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestSpireClient(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bos-reporter-spire-agent")
	for _, tt := range []struct{ name, output, want string }{
		{"own", `[{"svids":[{"spiffe_id":"spiffe://shasta/compute/workload/cfs","svid":"a"},{"spiffe_id":"spiffe://shasta/ncn/x1/workload/bos-reporter","svid":"b"}]},{"bundles":{}}]`, "b"},
		{"the first", `[{"bundles":{}},{"svids":[{"spiffe_id":"spiffe://shasta/compute/workload/cfs","svid":"a"}]}]`, "a"},
		{"none", `[{"svids":[]}]`, ""},
		{"not JSON", `rpc error`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			program(t, path, `[ "$*" = "api fetch jwt -audience system-compute -socketPath /agent.sock -output json" ] || exit 9
				echo '`+tt.output+`'`)
			got, err := SpireClient{path, "system-compute", "/agent.sock"}.Token(t.Context(), false)
			if got != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("token %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

// workloadAPI serves FetchJWTSVID on a unix socket.
func workloadAPI(t *testing.T, handler http.HandlerFunc) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "agent.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: handler, Protocols: new(http.Protocols)}
	srv.Protocols.SetUnencryptedHTTP2(true)
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return socket
}

func grpcMessage(m []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(m))), m...)
}

func svidMessage(id, token string) string {
	m := appendField(appendField(nil, 1, id), 2, token)
	m = append(m, 3<<3|wireVarint, 0x96, 0x01)                   // fields of a later version
	m = append(m, 4<<3|wire32, 1, 2, 3, 4, 5<<3|wire64, 1, 2, 3) // …
	return string(append(m, 4, 5, 6, 7, 8))
}

func TestSpireSocket(t *testing.T) {
	var requests []string
	socket := workloadAPI(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests = append(requests, strings.Join([]string{r.Proto, r.Method, r.URL.Path, r.Header.Get("workload.spiffe.io"),
			r.Header.Get("Content-Type"), r.Header.Get("TE"), string(body)}, " "))
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		m := appendField(nil, 1, svidMessage("spiffe://shasta/compute/workload/cfs", "a"))
		m = appendField(m, 1, svidMessage("spiffe://shasta/compute/workload/bos-reporter", "b"))
		w.Write(grpcMessage(m))
		w.Header().Set("Grpc-Status", "0")
	})
	got, err := SpireSocket{"system-compute", socket}.Token(t.Context(), false)
	if got != "b" || err != nil {
		t.Errorf("token %q, %v; want b", got, err)
	}
	want := []string{"HTTP/2.0 POST /SpiffeWorkloadAPI/FetchJWTSVID true application/grpc trailers \x00\x00\x00\x00\x10\x0a\x0esystem-compute"}
	if !slices.Equal(requests, want) {
		t.Errorf("requests %q, want %q", requests, want)
	}
}

func TestSpireSocketErrors(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		handler    http.HandlerFunc
	}{
		{"permission denied", "no identity issued", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Grpc-Status", "7")
			w.Header().Set("Grpc-Message", "no identity issued")
		}},
		{"not found", "404", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }},
		{"short message", "not a gRPC message", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
			w.Write([]byte{0, 0, 0, 1, 0, 1})
		}},
		{"broken message", "not a protocol buffers message", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
			w.Write(grpcMessage([]byte{0x0a, 0xff}))
		}},
		{"no token", "no token", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
			w.Write(grpcMessage(nil))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := SpireSocket{"a", workloadAPI(t, tt.handler)}.Token(t.Context(), false)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("err = %v, want %q in it", err, tt.want)
			}
		})
	}
	if _, err := (SpireSocket{"a", filepath.Join(t.TempDir(), "none")}).Token(t.Context(), false); err == nil {
		t.Error("no error for a socket that does not exist")
	}
}

func FuzzReadSVIDs(f *testing.F) {
	f.Add([]byte(svidMessage("id", "token")))
	f.Add(appendField(nil, 1, svidMessage("id", "token")))
	f.Add([]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, b []byte) {
		svids, err := readSVIDs(b)
		for _, s := range svids {
			if err == nil && (!bytes.Contains(b, []byte(s.ID)) || !bytes.Contains(b, []byte(s.Token))) {
				t.Errorf("%q is not from %q", s, b)
			}
		}
	})
}
