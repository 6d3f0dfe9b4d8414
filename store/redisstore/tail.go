package redisstore

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bootorch/bosgo/bos"
)

// The feed in database 6: a stream with one entry per change, and a hash with the members epoch, rev (of the latest
// change) and run (of the server that the epoch was begun on).
const (
	feedKey = "bos:feed"
	headKey = "bos:feed:head"
)

const (
	tailWait  = 5 * time.Second // how long one XREAD waits
	tailBatch = 1000            // how many changes it returns at most
)

// follow copies the stream into the feed of this process until ctx ends. last is the id of the entry that was read
// before; empty means that nothing was.
func (d *Driver) follow(ctx context.Context, last string) {
	connected := last != ""
	for attempt := 0; ctx.Err() == nil; attempt++ {
		if last == "" {
			var err error
			if last, err = d.catchUp(ctx); err != nil {
				if connected && ctx.Err() == nil {
					d.log.WarnContext(ctx, "lost the feed of changes; trying on", "err", err)
				}
				connected = false
				pause(ctx, attempt)
				continue
			}
			if !connected {
				d.log.InfoContext(ctx, "reading the feed of changes again")
			}
		}
		connected, attempt = true, 0
		d.tail(ctx, last)
		last = ""
	}
}

// pause waits longer after each attempt, a second at most.
func pause(ctx context.Context, attempt int) {
	longest := min(20*time.Millisecond<<min(attempt, 10), time.Second)
	select {
	case <-time.After(longest/2 + rand.N(longest/2)):
	case <-ctx.Done():
	}
}

// catchUp reads the whole stream and the head as they are at one moment, and returns the id of the last entry.
func (d *Driver) catchUp(ctx context.Context) (string, error) {
	pipe := d.tailing.TxPipeline()
	head := pipe.HMGet(ctx, headKey, "epoch", "rev")
	entries := pipe.XRange(ctx, feedKey, "-", "+")
	if _, err := pipe.Exec(ctx); err != nil {
		return "", unavailable(err)
	}
	last := "0-0"
	if n := len(entries.Val()); n > 0 {
		last = entries.Val()[n-1].ID
	}
	epoch, ok := head.Val()[0].(string)
	if !ok {
		return last, nil // nothing was ever published
	}
	text, _ := head.Val()[1].(string)
	revision, _ := strconv.ParseUint(text, 10, 64)
	changes := slices.DeleteFunc(d.changes(ctx, entries.Val()), func(c bos.Change) bool { return c.Cursor.Epoch != epoch })
	d.feed.Append(changes)
	d.feed.Restart(bos.Cursor{Epoch: epoch, Revision: revision}) // where the stream does not reach back or on to it
	return last, nil
}

// tail copies new entries until the connection breaks or ctx ends.
func (d *Driver) tail(ctx context.Context, last string) {
	for ctx.Err() == nil {
		streams, err := d.tailing.XRead(ctx, &redis.XReadArgs{Streams: []string{feedKey, last}, Count: tailBatch, Block: tailWait}).Result()
		d.tracks.drain(ctx)
		if errors.Is(err, redis.Nil) {
			continue
		}
		if err != nil {
			return
		}
		for _, s := range streams {
			if n := len(s.Messages); n > 0 {
				last = s.Messages[n-1].ID
				d.feed.Append(d.changes(ctx, s.Messages))
			}
		}
	}
}

// changes decodes stream entries.
func (d *Driver) changes(ctx context.Context, entries []redis.XMessage) []bos.Change {
	changes := make([]bos.Change, 0, len(entries))
	for _, e := range entries {
		epoch, _ := e.Values["e"].(string)
		text, _ := e.Values["r"].(string)
		data, _ := e.Values["c"].(string)
		revision, err := strconv.ParseUint(text, 10, 64)
		var c bos.Change
		if err == nil {
			err = c.UnmarshalJSON([]byte(data))
		}
		if err != nil || epoch == "" || revision == 0 {
			d.log.WarnContext(ctx, "skipping unreadable entry of the feed of changes", "id", e.ID, "err", err)
			continue
		}
		c.Cursor = bos.Cursor{Epoch: epoch, Revision: revision}
		changes = append(changes, c)
	}
	return changes
}
