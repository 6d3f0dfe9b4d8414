package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/bootorch/bosgo/bos"
)

// MaxSize is the greatest size of a manifest in bytes. Source: BOS, MAX_MANIFEST_SIZE_BYTES.
const MaxSize = 1 << 20

// The artifact types that count; others are ignored. Source: IMS manifest v1.0.
const (
	TypeKernel         = "application/vnd.cray.image.kernel"
	TypeInitrd         = "application/vnd.cray.image.initrd"
	TypeRootfs         = "application/vnd.cray.image.rootfs.squashfs"
	TypeBootParameters = "application/vnd.cray.image.parameters.boot"
)

// ParsePath splits an S3 URL such as "s3://boot-images/1234/manifest.json" into bucket and key. Nothing in it is decoded,
// and a query belongs to the key. The error matches bos.ErrInvalid.
func ParsePath(path string) (bucket, key string, err error) {
	rest, isS3 := strings.CutPrefix(path, "s3://")
	bucket, key, _ = strings.Cut(rest, "/")
	key = strings.TrimLeft(key, "/")
	if !isS3 || bucket == "" || key == "" || strings.ContainsFunc(path, unicode.IsControl) {
		return "", "", invalid("'%s' is not an S3 URL: write s3://bucket/key", path)
	}
	return bucket, key, nil
}

// CheckType accepts the boot set types that have manifests, which is "s3" alone. The error matches bos.ErrInvalid.
func CheckType(typ string) error {
	if typ != "s3" {
		return invalid("No BootImageMetadata class for type %s", typ)
	}
	return nil
}

// document is a manifest on the wire. Members that BOS does not use are not declared, and artifacts that it does not use
// may be of any shape.
type document struct {
	Artifacts []struct {
		Type any             `json:"type"`
		Link json.RawMessage `json:"link"`
	} `json:"artifacts"`
}

type link struct {
	Path string `json:"path"`
	ETag string `json:"etag"`
}

// Decode reads the manifest whose text was found at path. Each part may occur once. Errors match bos.ErrInvalid.
func Decode(path string, text []byte) (*Manifest, error) {
	if len(text) > MaxSize {
		return nil, TooBig(path, int64(len(text)))
	}
	if !utf8.Valid(text) {
		return nil, UnreadableManifest(path, invalid("It is not UTF-8."))
	}
	if kind, err := kindOf(text); err != nil {
		return nil, invalid("the manifest '%s' is not JSON: %v", path, err)
	} else if kind != "dict" {
		return nil, invalid("Manifest should be dict. Invalid data type: %s", kind)
	}
	var doc document
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, invalid("the manifest '%s' is malformed: %v", path, err)
	}
	m := &Manifest{Path: path}
	parts := map[string]**Artifact{
		TypeKernel: &m.Kernel, TypeInitrd: &m.Initrd, TypeRootfs: &m.Rootfs, TypeBootParameters: &m.BootParameters,
	}
	for _, a := range doc.Artifacts {
		typ, _ := a.Type.(string)
		part, wanted := parts[typ]
		if !wanted {
			continue
		}
		if *part != nil {
			return nil, invalid("Multiple %s artifacts found in the manifest.", typ)
		}
		var l link
		if len(a.Link) > 0 {
			if err := json.Unmarshal(a.Link, &l); err != nil {
				return nil, invalid("the link of the %s artifact of the manifest '%s' is malformed: %v", typ, path, err)
			}
		}
		if l.Path == "" {
			return nil, invalid("the %s artifact of the manifest '%s' has no link", typ, path)
		}
		*part = &Artifact{Path: l.Path, ETag: strings.Trim(l.ETag, `"`)}
	}
	return m, nil
}

// DecodeBootParameters checks the text of the boot-parameters artifact found at path. The error matches bos.ErrInvalid.
func DecodeBootParameters(path string, text []byte) (string, error) {
	if !utf8.Valid(text) {
		return "", UnreadableObject(path, invalid("It is not UTF-8."))
	}
	return string(text), nil
}

// kindOf names the type of the JSON text in the words of the reference.
func kindOf(text []byte) (string, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return "", err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return "", errors.New("text after the end of the document")
	}
	switch v := v.(type) {
	case map[string]any:
		return "dict", nil
	case []any:
		return "list", nil
	case string:
		return "str", nil
	case bool:
		return "bool", nil
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			return "float", nil
		}
		return "int", nil
	}
	return "NoneType", nil
}

// fixedError has a text that administrators know from the reference, and a cause that only errors.Is sees.
type fixedError struct {
	text  string
	cause error
}

func (e *fixedError) Error() string { return e.text }
func (e *fixedError) Unwrap() error { return e.cause }

func invalid(format string, args ...any) error {
	return &fixedError{fmt.Sprintf(format, args...), bos.ErrInvalid}
}

// UnreadableManifest is the error of a Reader that cannot get at the manifest at path. It wraps the cause, whose words
// it adds unless the object just does not exist.
func UnreadableManifest(path string, cause error) error {
	return unreadable(fmt.Sprintf("Unable to read manifest file '%s'.", path), cause)
}

// UnreadableObject is the same for another object, such as boot parameters.
func UnreadableObject(path string, cause error) error {
	return unreadable(fmt.Sprintf("Unable to download object %s.", path), cause)
}

func unreadable(text string, cause error) error {
	if !errors.Is(cause, bos.ErrNotFound) {
		text += " " + cause.Error()
	}
	return &fixedError{text, cause}
}

// TooBig is the error for a manifest of more than MaxSize bytes. It matches bos.ErrInvalid.
func TooBig(path string, size int64) error {
	return invalid("%s is supposed to be an image manifest, but %d bytes is too big for a manifest", path, size)
}
