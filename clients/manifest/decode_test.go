package manifest_test

import (
	"errors"
	"testing"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/clients/manifest"
)

// FuzzDecode: any text is a manifest or an error of the input, and what is decoded has paths.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"version":"1.0","artifacts":[{"type":"application/vnd.cray.image.kernel","md5":"d","link":{"type":"s3","path":"s3://b/k","etag":"\"e\""}}]}`,
		`{}`, `[]`, `"x"`, `1.5`, `7`, `true`, `null`, ``, `{`, `{"artifacts":null}`, `{"artifacts":{}}`, `{"artifacts":[null]}`, "\xff", `{} {}`,
		`{"artifacts":[{"type":"application/vnd.cray.image.kernel","link":null}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := manifest.Decode("s3://b/m", text)
		if err != nil {
			if !errors.Is(err, bos.ErrInvalid) || errors.Is(err, bos.ErrNotFound) || m != nil {
				t.Errorf("manifest %+v, error %v, want ErrInvalid alone", m, err)
			}
			return
		}
		for _, a := range []*manifest.Artifact{m.Kernel, m.Initrd, m.Rootfs, m.BootParameters} {
			if a != nil && a.Path == "" {
				t.Errorf("an artifact without a path in %q", text)
			}
		}
	})
}

// Artifacts that BOS does not use may be of any shape, those that it uses may not.
func TestOddArtifacts(t *testing.T) {
	kernel := `{"type":"application/vnd.cray.image.kernel","link":{"path":"s3://b/k","etag":null}}`
	for artifact, good := range map[string]bool{
		`{"type":"application/vnd.cray.image.debug.kernel","link":"s3://b/debug"}`: true, `{"type":7,"link":7}`: true, `{"link":{"path":7}}`: true, `null`: true,
		`{"type":"application/vnd.cray.image.initrd","link":"s3://b/i"}`:      false,
		`{"type":"application/vnd.cray.image.initrd","link":{"path":7}}`:      false,
		`{"type":"application/vnd.cray.image.initrd","link":null}`:            false,
		`{"type":"application/vnd.cray.image.initrd"}`:                        false,
		`{"type":"application/vnd.cray.image.initrd","link":{"etag":"only"}}`: false, `7`: false,
	} {
		m, err := manifest.Decode("s3://b/m", []byte(`{"artifacts":[`+artifact+`,`+kernel+`]}`))
		if good && (err != nil || m.Kernel.Path != "s3://b/k") || !good && !errors.Is(err, bos.ErrInvalid) {
			t.Errorf("%s: error %v, want one: %v", artifact, err, !good)
		}
	}
}

func TestKinds(t *testing.T) {
	for text, kind := range map[string]string{`[]`: "list", `"x"`: "str", `1.5`: "float", `1e3`: "float", `7`: "int", `true`: "bool", `null`: "NoneType"} {
		_, err := manifest.Decode("s3://b/m", []byte(text))
		if want := "Manifest should be dict. Invalid data type: " + kind; err == nil || err.Error() != want {
			t.Errorf("%s: error %v, want %s", text, err, want)
		}
	}
}

func TestParsePath(t *testing.T) {
	for _, tt := range []struct{ path, bucket, key string }{
		{"s3://boot-images/1/manifest.json", "boot-images", "1/manifest.json"},
		{"s3://b//x/y", "b", "x/y"},
		{"s3://b/x?y=z", "b", "x?y=z"},
		{"s3://b/a%20b", "b", "a%20b"},
		{"s3://b", "", ""}, {"s3:///x", "", ""}, {"b/x", "", ""}, {"http://b/x", "", ""}, {"", "", ""},
	} {
		bucket, key, err := manifest.ParsePath(tt.path)
		if bucket != tt.bucket || key != tt.key || (err != nil) != (tt.bucket == "") || err != nil && !errors.Is(err, bos.ErrInvalid) {
			t.Errorf("%q: bucket %q, key %q, error %v, want %q and %q", tt.path, bucket, key, err, tt.bucket, tt.key)
		}
	}
}
