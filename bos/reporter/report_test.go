package reporter

import (
	"context"
	"io"
	"strings"
	"testing"
)

func TestReportRequest(t *testing.T) {
	req, err := Report{"x1000c0s0b0n0", `a"b=`}.Request(t.Context(), "https://gw/apis/bos", "jwt")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(req.Body)
	if got, want := string(body), `{"id":"x1000c0s0b0n0","actual_state":{"bss_token":"a\"b="}}`; got != want {
		t.Errorf("body = %s, want %s", got, want)
	}
	if got, want := req.Method+" "+req.URL.String(), "PATCH https://gw/apis/bos/v2/components/x1000c0s0b0n0"; got != want {
		t.Errorf("request = %s, want %s", got, want)
	}
	if got := req.Header.Get("Authorization"); got != "Bearer jwt" {
		t.Errorf("Authorization = %q", got)
	}
	if got := req.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type = %q", got)
	}
	if len(req.Header) != 3 { // and User-Agent
		t.Errorf("header = %v", req.Header)
	}

	req, err = Report{"x1", "t"}.Request(context.Background(), "http://127.0.0.1:9000", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := req.Header["Authorization"]; ok {
		t.Error("Authorization header without a token")
	}
}

func TestReportPathEscapes(t *testing.T) {
	if got, want := (Report{ID: "a/b?c d"}).Path(), "/v2/components/a%2Fb%3Fc%20d"; got != want {
		t.Errorf("Path() = %s, want %s", got, want)
	}
}

func TestCheckID(t *testing.T) {
	for id, ok := range map[string]bool{
		"x3000c0s19b1n0":         true,
		"nid000001-nmn.local_2":  true,
		"X1":                     true,
		strings.Repeat("x", 127): true,
		strings.Repeat("x", 128): false,
		"":                       false,
		".":                      false,
		"..":                     false,
		"a/b":                    false,
		"a b":                    false,
		"a\n":                    false,
		"ä":                      false,
	} {
		if err := CheckID(id); (err == nil) != ok {
			t.Errorf("CheckID(%q) = %v, want ok %v", id, err, ok)
		}
	}
}

func TestBaseURL(t *testing.T) {
	for _, tt := range []struct {
		gateway, path string
		insecure      bool
		want          string // "" means an error
	}{
		{"gw.local", "/apis/bos", false, "https://gw.local/apis/bos"},
		{"gw.local:8443", "apis/bos/", false, "https://gw.local:8443/apis/bos"},
		{"https://gw.local", "", false, "https://gw.local"},
		{"https://gw.local/apis/bos/", "", false, "https://gw.local/apis/bos"},
		{"http://10.0.0.1:9000", "", true, "http://10.0.0.1:9000"},
		{"http://10.0.0.1:9000", "", false, ""},
		{"[::1]:443", "/", false, "https://[::1]:443"},
		{"ftp://gw", "", true, ""},
		{"https://", "", false, ""},
		{"https://:443", "", false, ""},
		{"https://user:secret@gw", "", false, ""},
		{"https://gw?x=1", "", false, ""},
		{"gw:port", "", false, ""},
		{"g w", "", false, ""},
	} {
		got, err := BaseURL(tt.gateway, tt.path, tt.insecure)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("BaseURL(%q, %q, %v) = %q, %v; want %q", tt.gateway, tt.path, tt.insecure, got, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error repeats the password: %v", err)
		}
	}
}
