package fleet

import (
	"bytes"
	"crypto/md5" //nolint:gosec // the ETag of S3
	"encoding/hex"
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httputil"
	"strings"
	"time"
)

// s3 is the object store: path-style addresses, and any signature or none.
type s3 struct {
	buckets map[string]map[string]*object
}

// object never changes once it is stored.
type object struct {
	data []byte
	etag string // without quotes
	kind string // content type
	when time.Time
}

func newS3() s3 { return s3{buckets: map[string]map[string]*object{bootBucket: {}}} }

func (s *s3) put(bucket, key string, data []byte, when time.Time) *object {
	sum := md5.Sum(data) //nolint:gosec // the ETag of S3
	o := &object{data: data, etag: hex.EncodeToString(sum[:]), kind: "application/octet-stream", when: when}
	if s.buckets[bucket] == nil {
		s.buckets[bucket] = map[string]*object{}
	}
	s.buckets[bucket][key] = o
	return o
}

func (m *Machine) routeS3(mux *http.ServeMux) {
	mux.HandleFunc("GET /s3/{bucket}/{key...}", m.objectGet) // and HEAD
	mux.HandleFunc("PUT /s3/{bucket}/{key...}", m.objectPut)
	mux.HandleFunc("DELETE /s3/{bucket}/{key...}", m.objectDelete)
}

// s3Error answers an S3 error document; HEAD gets none.
func s3Error(w http.ResponseWriter, r *http.Request, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	_, _ = io.WriteString(w, xml.Header)
	type errorDocument struct {
		XMLName  xml.Name `xml:"Error"`
		Code     string
		Message  string
		Resource string
	}
	_ = xml.NewEncoder(w).Encode(errorDocument{Code: code, Message: message, Resource: r.URL.Path})
}

func (m *Machine) objectGet(w http.ResponseWriter, r *http.Request) {
	about(w, 1)
	bucket, key := r.PathValue("bucket"), r.PathValue("key")
	m.mu.Lock()
	objects, known := m.s3.buckets[bucket]
	o := objects[key]
	if m.imageDeleted(nil, key) {
		o = nil
	}
	other := r.Method == http.MethodHead && m.serviceFault("s3", "etag_mismatch") != nil
	m.mu.Unlock()
	switch {
	case !known:
		s3Error(w, r, http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist")
		return
	case o == nil:
		s3Error(w, r, http.StatusNotFound, "NoSuchKey", "The specified key does not exist")
		return
	}
	etag := o.etag
	if other {
		etag = "0123456789abcdef0123456789abcdef"
	}
	w.Header().Set("ETag", `"`+etag+`"`)
	w.Header().Set("Content-Type", o.kind)
	http.ServeContent(w, r, "", o.when, bytes.NewReader(o.data))
}

func (m *Machine) objectPut(w http.ResponseWriter, r *http.Request) {
	about(w, 1)
	body := io.Reader(r.Body)
	if strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		body = httputil.NewChunkedReader(body) // aws-chunked is chunked with extensions
	}
	data, err := io.ReadAll(body)
	if err != nil {
		s3Error(w, r, http.StatusBadRequest, "IncompleteBody", err.Error())
		return
	}
	if r.PathValue("key") != "" {
		m.mu.Lock()
		o := m.s3.put(r.PathValue("bucket"), r.PathValue("key"), data, m.serviceTime("s3"))
		if kind := r.Header.Get("Content-Type"); kind != "" {
			o.kind = kind
		}
		m.mu.Unlock()
		w.Header().Set("ETag", `"`+o.etag+`"`)
	}
	w.WriteHeader(http.StatusOK)
}

func (m *Machine) objectDelete(w http.ResponseWriter, r *http.Request) {
	about(w, 1)
	m.mu.Lock()
	delete(m.s3.buckets[r.PathValue("bucket")], r.PathValue("key"))
	m.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
}
