package redisstore

import (
	"bytes"
	"context"
	_ "embed" // of the scripts
	"fmt"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
)

var (
	//go:embed commit.lua
	commitSource string
	commitScript = redis.NewScript(commitSource)

	//go:embed epoch.lua
	epochSource string
	epochScript = redis.NewScript(epochSource)
)

// pageSize is how many records one MGET reads. Source: BOS v2, Redis layout.
const pageSize = 500

func unavailable(err error) error { return fmt.Errorf("redis: %w: %w", bos.ErrUnavailable, err) }

// Get implements store.Driver.
func (d *Driver) Get(ctx context.Context, b store.Bucket, keys []string) ([][]byte, error) {
	if len(keys) == 1 {
		value, err := d.gets[b].do(ctx, keys[0])
		return [][]byte{value}, err
	}
	return d.getMany(ctx, b, keys)
}

// getSingles reads records for callers of which many may want the same one.
func (d *Driver) getSingles(ctx context.Context, b store.Bucket, keys []string) ([][]byte, error) {
	different := slices.Compact(slices.Sorted(slices.Values(keys)))
	found, err := d.getMany(ctx, b, different)
	if err != nil {
		return nil, err
	}
	values := make([][]byte, len(keys))
	for i, key := range keys {
		n, _ := slices.BinarySearch(different, key)
		values[i] = found[n]
	}
	return values, nil
}

func (d *Driver) getMany(ctx context.Context, b store.Bucket, keys []string) ([][]byte, error) {
	values := make([][]byte, 0, len(keys))
	for chunk := range slices.Chunk(keys, pageSize) {
		found, err := d.reads[b].MGet(ctx, chunk...).Result()
		if err != nil {
			return nil, unavailable(err)
		}
		for _, v := range found {
			var value []byte
			if text, ok := v.(string); ok {
				value = []byte(text)
			}
			values = append(values, value)
		}
	}
	return values, nil
}

// Scan implements store.Driver. The reference's databases have no index: the keys are read and sorted first, the
// records page by page.
func (d *Driver) Scan(ctx context.Context, b store.Bucket, after string, limit int) store.Entries {
	return func(yield func(store.Entry, error) bool) {
		keys, err := d.keys(ctx, b, after)
		if err != nil {
			yield(store.Entry{}, err)
			return
		}
		size := pageSize
		if limit > 0 {
			size = min(size, limit)
		}
		n := 0
		for page := range slices.Chunk(keys, size) {
			values, err := d.Get(ctx, b, page)
			if err != nil {
				yield(store.Entry{}, err)
				return
			}
			for i, value := range values {
				if value == nil { // deleted meanwhile, or not a string
					continue
				}
				if !yield(store.Entry{Key: page[i], Value: value}, nil) {
					return
				}
				if n++; n == limit {
					return
				}
			}
		}
	}
}

// keys returns all keys greater than after, in order.
func (d *Driver) keys(ctx context.Context, b store.Bucket, after string) ([]string, error) {
	var keys []string
	for cursor := uint64(0); ; {
		page, next, err := d.reads[b].Scan(ctx, cursor, "", 1000).Result()
		if err != nil {
			return nil, unavailable(err)
		}
		for _, key := range page {
			if key > after {
				keys = append(keys, key)
			}
		}
		if cursor = next; cursor == 0 {
			break
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys), nil // SCAN may name a key twice
}

// Commit implements store.Driver.
func (d *Driver) Commit(ctx context.Context, writes []store.Mutation, atomic bool) ([]int, error) {
	switch len(writes) {
	case 0:
		return nil, nil
	case 1:
		lost, err := d.commits.do(ctx, writes[0])
		if lost {
			return []int{0}, err
		}
		return nil, err
	}
	return d.commitMany(ctx, writes, atomic)
}

// commitSingles commits writes that have nothing to do with each other.
func (d *Driver) commitSingles(ctx context.Context, writes []store.Mutation) ([]bool, error) {
	for i := range writes {
		writes[i].Must = false // or one would keep the others from being written
	}
	indexes, err := d.commitMany(ctx, writes, false)
	lost := make([]bool, len(writes))
	for _, i := range indexes {
		lost[i] = true
	}
	return lost, err
}

func (d *Driver) commitMany(ctx context.Context, writes []store.Mutation, atomic bool) ([]int, error) {
	mode := "each"
	if atomic {
		mode = "all"
	}
	keys := make([]string, len(writes))
	args := make([]any, 0, 3+5*len(writes))
	args = append(args, mode, store.NewEpoch(), store.FeedSize)
	for i, w := range writes {
		change, err := encodeChange(w.Change)
		if err != nil {
			return nil, err
		}
		keys[i] = w.Key
		act, data := action(&w)
		args = append(args, int(w.Bucket), act, w.Old, data, change)
	}
	reply, err := commitScript.Run(ctx, d.writes, keys, args...).Slice()
	if err != nil {
		return nil, unavailable(err)
	}
	at, lost, err := readReply(reply)
	if err != nil {
		return nil, unavailable(err)
	}
	if at.Revision > 0 {
		d.feed.Reached(at)
	}
	return lost, nil
}

// action returns what commit.lua is to do with a record, and the value to set.
func action(w *store.Mutation) (string, []byte) {
	switch {
	case w.Old == nil && w.New == nil:
		return "absent", nil
	case w.Old == nil:
		return "add", w.New
	case w.New == nil:
		return "delete", nil
	case bytes.Equal(w.Old, w.New) && w.Must:
		return "must", nil
	case bytes.Equal(w.Old, w.New):
		return "same", nil
	}
	return "set", w.New
}

func encodeChange(c *bos.Change) (string, error) {
	if c == nil {
		return "", nil
	}
	data, err := c.MarshalJSON()
	if err != nil {
		return "", fmt.Errorf("encode change: %w", err)
	}
	return string(data), nil
}

// readReply reads what commit.lua returns.
func readReply(reply []any) (at bos.Cursor, lost []int, err error) {
	if len(reply) != 3 {
		return at, nil, fmt.Errorf("the commit script answered %d values", len(reply))
	}
	epoch, _ := reply[0].(string)
	revision, _ := reply[1].(string)
	at.Epoch = epoch
	if at.Revision, err = strconv.ParseUint(revision, 10, 64); err != nil {
		return at, nil, fmt.Errorf("the commit script answered revision %q", revision)
	}
	indexes, _ := reply[2].([]any)
	for _, i := range indexes {
		n, ok := i.(int64)
		if !ok {
			return at, nil, fmt.Errorf("the commit script answered index %v", i)
		}
		lost = append(lost, int(n))
	}
	return at, lost, nil
}
