// Package redisstore keeps the records of BOS in Redis, in the layout of the reference: databases 0 to 5, keys and JSON
// values are its own, so that both can work on one database. What the reference does not know is in database 6, under
// keys that begin with "bos:". Any number of processes may share a database; each learns of the others' writes.
//
// Every write is a script that compares and sets by value, over several databases at once. It needs Redis 5 or later,
// alone or behind Sentinel; Redis Cluster has no numbered databases.
package redisstore

import (
	"context"
	"crypto/tls"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
)

// Config holds what a store may be told. The zero value works.
type Config struct {
	Log    *slog.Logger // nil = nowhere
	CAFile string       // PEM file of the certificates to trust with rediss://; empty = those of the system

	// PoolSize is how many connections a database may have at a time; 0 = the larger of 16 and 8 per processor.
	PoolSize int
}

// dialTimeout bounds the wait for a connection.
const dialTimeout = 2 * time.Second

// Open returns the store at the URL: redis://[user:password@]host[:port], rediss:// for TLS, or
// redis+sentinel://[user:password@]host[:port],…/master (rediss+sentinel://), with ?sentinel_password= where the
// sentinels want one. The error matches bos.ErrInvalid. Redis need not be there yet, and may go away and come back:
// meanwhile every call fails with bos.ErrUnavailable. Open tries to reach it until ctx ends, two seconds at most.
func Open(ctx context.Context, url string, cfg Config) (*store.DB, error) {
	d, err := OpenDriver(ctx, url, cfg)
	if err != nil {
		return nil, err
	}
	return store.New(d, store.Config{Log: cfg.Log}), nil
}

// fewRequests is how many requests for single records are on their way before others wait to be sent together.
const fewRequests = 4

// Driver is a store.Driver over Redis.
type Driver struct {
	log      *slog.Logger
	feed     *store.Feed
	reads    []*redis.Client                // by bucket
	gets     []*together[string, []byte]    // of single records, by bucket
	commits  together[store.Mutation, bool] // of single writes: whether they lost
	writes   *redis.Client                  // database 6; never sends a command twice
	tailing  *redis.Client                  // database 6; waits for changes
	tracks   tracks
	stop     context.CancelFunc
	tailed   sync.WaitGroup
	closing  sync.Once
	closeErr error
}

var (
	_ store.Driver  = (*Driver)(nil)
	_ store.Tracker = (*Driver)(nil)
)

// OpenDriver is Open without the typed layer.
func OpenDriver(ctx context.Context, url string, cfg Config) (*Driver, error) {
	t, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	tlsCfg, err := t.tlsConfig(cfg.CAFile)
	if err != nil {
		return nil, err
	}
	quiet.Do(func() { redis.SetLogger(discard{}) })
	d := &Driver{log: cfg.Log, feed: store.NewFeed(bos.Cursor{Epoch: store.NewEpoch()})}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	pool := cfg.PoolSize
	if pool <= 0 {
		pool = max(16, 8*runtime.GOMAXPROCS(0))
	}
	for _, b := range store.Buckets() {
		d.reads = append(d.reads, t.client(tlsCfg, clientConfig{db: int(b), pool: pool, retries: 1}))
		d.gets = append(d.gets, &together[string, []byte]{
			few: fewRequests, most: pageSize,
			send: func(ctx context.Context, keys []string) ([][]byte, error) { return d.getSingles(ctx, b, keys) },
		})
	}
	d.commits = together[store.Mutation, bool]{
		few: fewRequests, most: pageSize, name: func(m store.Mutation) string { return m.Bucket.String() + "/" + m.Key }, send: d.commitSingles,
	}
	ours := int(store.BucketOurs)
	d.writes = t.client(tlsCfg, clientConfig{db: ours, pool: pool, retries: -1, onConnect: d.checkEpoch})
	d.tailing = t.client(tlsCfg, clientConfig{db: ours, pool: 1, retries: -1, onConnect: d.checkEpoch})
	d.tracks.client = t.client(tlsCfg, clientConfig{db: ours, pool: 2, retries: -1})

	firstTry, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	last, err := d.catchUp(firstTry)
	if err != nil {
		d.log.WarnContext(ctx, "redis cannot be reached; trying on", "err", err)
	}
	tailCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	d.stop = stop
	d.tailed.Go(func() { d.follow(tailCtx, last) })
	return d, nil
}

// quiet keeps the Redis library from writing to stderr, for the whole process: it reports each connection that it cannot
// make, which is in the errors of this package too.
var quiet sync.Once

type discard struct{}

func (discard) Printf(context.Context, string, ...any) {}

type clientConfig struct {
	db, pool  int
	retries   int // of a command that failed, -1 = none
	onConnect func(context.Context, *redis.Conn) error
}

func (t *target) client(tlsCfg *tls.Config, c clientConfig) *redis.Client {
	if t.master != "" {
		return redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: t.master, SentinelAddrs: t.addrs, SentinelPassword: t.sentinelPassword,
			Username: t.user, Password: t.password, DB: c.db, TLSConfig: tlsCfg,
			PoolSize: c.pool, MaxRetries: c.retries, OnConnect: c.onConnect,
			DialTimeout: dialTimeout, DialerRetries: 1, ContextTimeoutEnabled: true, DisableIdentity: true,
		})
	}
	return redis.NewClient(&redis.Options{
		Addr:     t.addrs[0],
		Username: t.user, Password: t.password, DB: c.db, TLSConfig: tlsCfg,
		PoolSize: c.pool, MaxRetries: c.retries, OnConnect: c.onConnect,
		DialTimeout: dialTimeout, DialerRetries: 1, ContextTimeoutEnabled: true, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}

// checkEpoch runs on each new connection that writes, before its first write: no revision is given out by a server that
// is not the one the epoch was begun on.
func (d *Driver) checkEpoch(ctx context.Context, conn *redis.Conn) error {
	info, err := conn.Info(ctx, "server").Result()
	if err != nil && ctx.Err() != nil {
		return err
	}
	if infoMember(info, "redis_mode") == "sentinel" { // it only tells where the server is
		return nil
	}
	runID := infoMember(info, "run_id") // where the server does not tell, the epoch lasts
	return epochScript.Run(ctx, conn, nil, runID, store.NewEpoch(), store.FeedSize).Err()
}

// infoMember returns a value of the answer to INFO, empty where there is none.
func infoMember(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// Ping implements store.Driver.
func (d *Driver) Ping(ctx context.Context) error {
	if err := d.reads[store.BucketOptions].Ping(ctx).Err(); err != nil {
		return unavailable(err)
	}
	return nil
}

// Feed implements store.Driver.
func (d *Driver) Feed() *store.Feed { return d.feed }

// Close implements store.Driver. The records stay.
func (d *Driver) Close() error {
	d.closing.Do(func() {
		d.stop()
		d.tracks.close()
		for _, c := range append([]*redis.Client{d.tailing, d.writes, d.tracks.client}, d.reads...) {
			if err := c.Close(); err != nil && d.closeErr == nil {
				d.closeErr = err
			}
		}
		d.tailed.Wait()
		d.feed.Close()
	})
	return d.closeErr
}
