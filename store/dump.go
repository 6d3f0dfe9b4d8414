package store

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bootorch/bosgo/bos"
)

// A dump is a file of JSON lines: a header, a line per record and a last line with the number of records and the SHA-256
// of everything before it. It holds BSS tokens, so keep it as safe as the database.
const (
	dumpFormat  = "bosgo dump"
	dumpVersion = 1
)

type dumpLine struct {
	// of the first line
	Format  string `json:"format,omitempty"`
	Version int    `json:"version,omitempty"`
	// of a record
	Bucket string          `json:"bucket,omitempty"`
	Key    string          `json:"key,omitempty"`
	RawKey string          `json:"raw_key,omitempty"` // Base64 of a key that is not UTF-8
	Value  json.RawMessage `json:"value,omitempty"`
	Raw    string          `json:"raw,omitempty"` // Base64 of a value that is not JSON
	// of the last line
	Records *int   `json:"records,omitempty"`
	SHA256  string `json:"sha256,omitempty"`
}

// Snapshot is the content of a database: every record but the leases and power transitions, which belong to running
// processes. Values that are JSON are kept without blanks between their parts.
type Snapshot struct {
	records map[Bucket]map[string][]byte
}

func newSnapshot() *Snapshot {
	s := &Snapshot{records: map[Bucket]map[string][]byte{}}
	for _, b := range Buckets() {
		s.records[b] = map[string][]byte{}
	}
	return s
}

// Len returns the number of records in a bucket.
func (s *Snapshot) Len(b Bucket) int { return len(s.records[b]) }

// Total returns the number of all records.
func (s *Snapshot) Total() int {
	n := 0
	for _, records := range s.records {
		n += len(records)
	}
	return n
}

// ReadSnapshot reads a whole database. Each record is as it was at some moment during the call; for one moment of all,
// stop what writes.
func ReadSnapshot(ctx context.Context, d Driver) (*Snapshot, error) {
	s := newSnapshot()
	for b, e := range allRecords(ctx, d) {
		if e.err != nil {
			return nil, e.err
		}
		s.records[b][e.Key] = compact(e.Value)
	}
	return s, nil
}

type entryOrError struct {
	Entry
	err error
}

// allRecords yields everything that belongs into a snapshot, bucket by bucket in order of key.
func allRecords(ctx context.Context, d Driver) iter.Seq2[Bucket, entryOrError] {
	return func(yield func(Bucket, entryOrError) bool) {
		for _, b := range Buckets() {
			for e, err := range d.Scan(ctx, b, "", 0) {
				if err != nil {
					yield(b, entryOrError{err: fmt.Errorf("read %s: %w", b, err)})
					return
				}
				if !ofProcess(b, e.Key) && !yield(b, entryOrError{Entry: e}) {
					return
				}
			}
		}
	}
}

// ofProcess reports whether a record belongs to a running process.
func ofProcess(b Bucket, key string) bool {
	return b == BucketOurs && (strings.HasPrefix(key, leases.key("")) || strings.HasPrefix(key, transitionPrefix))
}

// compact removes the blanks between the parts of a JSON value; anything else stays as it is.
func compact(value []byte) []byte {
	var b bytes.Buffer
	if json.Compact(&b, value) != nil {
		return value
	}
	return b.Bytes()
}

// Dump writes the content of a database as a file that ParseDump reads, and returns the number of records. See
// ReadSnapshot for what it catches of a database in use.
func Dump(ctx context.Context, d Driver, w io.Writer) (int, error) {
	sum := sha256.New()
	buffered := bufio.NewWriter(w)
	out := io.MultiWriter(buffered, sum)
	if err := writeLine(out, dumpLine{Format: dumpFormat, Version: dumpVersion}); err != nil {
		return 0, err
	}
	n := 0
	for b, e := range allRecords(ctx, d) {
		if e.err != nil {
			return n, e.err
		}
		line := dumpLine{Bucket: b.String()}
		if utf8.ValidString(e.Key) {
			line.Key = e.Key
		} else {
			line.RawKey = base64.StdEncoding.EncodeToString([]byte(e.Key))
		}
		if value := compact(e.Value); json.Valid(value) && utf8.Valid(value) {
			line.Value = value
		} else {
			line.Raw = base64.StdEncoding.EncodeToString(e.Value)
		}
		if err := writeLine(out, line); err != nil {
			return n, err
		}
		n++
	}
	if err := writeLine(buffered, dumpLine{Records: &n, SHA256: hex.EncodeToString(sum.Sum(nil))}); err != nil {
		return n, err
	}
	return n, buffered.Flush()
}

func writeLine(w io.Writer, line dumpLine) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(line)
}

// ParseDump reads and checks a whole dump. The error matches bos.ErrInvalid for a file that is no dump, was cut off or
// altered, or comes from a newer release.
func ParseDump(r io.Reader) (*Snapshot, error) {
	invalid := func(format string, args ...any) error {
		return fmt.Errorf("dump: "+format+": %w", append(args, bos.ErrInvalid)...)
	}
	s := newSnapshot()
	sum := sha256.New()
	lines := bufio.NewReader(r)
	for number := 1; ; number++ {
		text, err := lines.ReadBytes('\n')
		switch {
		case errors.Is(err, io.EOF) && number == 1 && len(text) == 0:
			return nil, invalid("the file is empty")
		case errors.Is(err, io.EOF):
			return nil, invalid("the file ends after line %d without its last line; it was cut off", number-1)
		case err != nil:
			return nil, fmt.Errorf("read dump: %w", err)
		}
		var line dumpLine
		if err := json.Unmarshal(text, &line); err != nil {
			return nil, invalid("line %d is not readable (%w)", number, err)
		}
		switch {
		case number == 1 && line.Format != dumpFormat:
			return nil, invalid("the file is no dump of this program")
		case number == 1 && line.Version != dumpVersion:
			return nil, invalid("the file has version %d, this release reads %d", line.Version, dumpVersion)
		case number == 1:
		case line.Records != nil:
			if *line.Records != s.Total() || line.SHA256 != hex.EncodeToString(sum.Sum(nil)) {
				return nil, invalid("the file was altered: its records do not add up to the last line")
			}
			return s, nil
		default:
			if err := s.add(line); err != nil {
				return nil, invalid("line %d: %w", number, err)
			}
		}
		sum.Write(text)
	}
}

// add takes in the record of a line.
func (s *Snapshot) add(line dumpLine) error {
	b := Bucket(slices.Index(bucketNames[:], line.Bucket))
	if b < 0 {
		return fmt.Errorf("there is no bucket %q", line.Bucket)
	}
	key, value := line.Key, []byte(line.Value)
	if line.RawKey != "" {
		raw, err := base64.StdEncoding.DecodeString(line.RawKey)
		if err != nil {
			return err
		}
		key = string(raw)
	}
	if line.Raw != "" {
		raw, err := base64.StdEncoding.DecodeString(line.Raw)
		if err != nil {
			return err
		}
		value = raw
	}
	if key == "" || len(value) == 0 {
		return errors.New("a key or a value is missing")
	}
	if !ofProcess(b, key) {
		s.records[b][key] = value
	}
	return nil
}

// Diff is what a Restore does to a database: the keys of the records concerned, in ascending order by bucket.
type Diff struct {
	Added   map[Bucket][]string // only in the snapshot
	Changed map[Bucket][]string // in both, with different content
	Removed map[Bucket][]string // only in the database
	Same    int                 // how many are left alone
}

// Drops returns how many records of the database would be overwritten or deleted.
func (d *Diff) Drops() int { return count(d.Changed) + count(d.Removed) }

// Adds returns how many records would be new.
func (d *Diff) Adds() int { return count(d.Added) }

func count(keys map[Bucket][]string) int {
	n := 0
	for _, k := range keys {
		n += len(k)
	}
	return n
}

// Compare says what Restore would do to the database.
func Compare(ctx context.Context, d Driver, s *Snapshot) (*Diff, error) {
	diff, _, err := plan(ctx, d, s)
	return diff, err
}

// plan returns the difference, and the writes that make up for it: what is deleted comes last.
func plan(ctx context.Context, d Driver, s *Snapshot) (*Diff, []Mutation, error) {
	diff := &Diff{Added: map[Bucket][]string{}, Changed: map[Bucket][]string{}, Removed: map[Bucket][]string{}}
	found := newSnapshot()
	var writes, deletes []Mutation
	for b, e := range allRecords(ctx, d) {
		if e.err != nil {
			return nil, nil, e.err
		}
		found.records[b][e.Key] = nil
		value, wanted := s.records[b][e.Key]
		switch {
		case !wanted:
			diff.Removed[b] = append(diff.Removed[b], e.Key)
			deletes = append(deletes, Mutation{Bucket: b, Key: e.Key, Old: e.Value})
		case !bytes.Equal(value, compact(e.Value)):
			diff.Changed[b] = append(diff.Changed[b], e.Key)
			writes = append(writes, Mutation{Bucket: b, Key: e.Key, Old: e.Value, New: value})
		default:
			diff.Same++
		}
	}
	for _, b := range Buckets() {
		for _, key := range slices.Sorted(maps.Keys(s.records[b])) {
			if _, exists := found.records[b][key]; !exists {
				diff.Added[b] = append(diff.Added[b], key)
				writes = append(writes, Mutation{Bucket: b, Key: key, New: s.records[b][key]})
			}
		}
	}
	return diff, append(writes, deletes...), nil
}

// Restore makes the content of a database that of the snapshot and returns what it did. Unless force is set, a database
// in which something would be overwritten or deleted is left alone: the error matches bos.ErrConflict and the difference
// says what is in the way. Leases and power transitions are left alone. Each chunk of 500 records is one step, what is deleted comes last;
// should something else write meanwhile, Restore ends with bos.ErrConflict, and running it again completes it.
func Restore(ctx context.Context, d Driver, s *Snapshot, force bool) (*Diff, error) {
	diff, writes, err := plan(ctx, d, s)
	if err != nil {
		return nil, err
	}
	if n := diff.Drops(); n > 0 && !force {
		return diff, fmt.Errorf("restore: %d records would be overwritten and %d deleted, so nothing was written: %w", count(diff.Changed), count(diff.Removed), bos.ErrConflict)
	}
	done := 0
	for chunk := range slices.Chunk(writes, chunkSize) {
		chunk[len(chunk)-1].Change = &bos.Change{Kind: bos.ChangeResync, Writer: bos.Writer(ctx)}
		lost, err := d.Commit(ctx, chunk, true)
		if err != nil {
			return diff, fmt.Errorf("restore: after %d of %d records: %w", done, len(writes), err)
		}
		if len(lost) > 0 {
			return diff, fmt.Errorf("restore: after %d of %d records somebody else wrote to the database; stop what uses it and run this again: %w", done, len(writes), bos.ErrConflict)
		}
		done += len(chunk)
	}
	return diff, nil
}
