package bostest_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/bos/bosclient"
	"github.com/bootorch/bosgo/bos/bostest"
	"github.com/bootorch/bosgo/store"
	"github.com/bootorch/bosgo/store/boltstore"
	"github.com/bootorch/bosgo/store/memstore"
	"github.com/bootorch/bosgo/store/redisstore"
	"github.com/bootorch/bosgo/store/storetest"
)

// opener returns the options for a server over an empty database.
type opener func(t testing.TB) bostest.Options

func memory(testing.TB) bostest.Options { return bostest.Options{Driver: memstore.NewDriver()} }

func bolt(t testing.TB) bostest.Options {
	t.Helper()
	d, err := boltstore.OpenDriver(filepath.Join(t.TempDir(), "bos.db"))
	if err != nil {
		t.Fatal(err)
	}
	return bostest.Options{Driver: d}
}

// onRedis is a database of the Redis at url, emptied first.
func onRedis(url string) opener {
	return func(t testing.TB) bostest.Options {
		t.Helper()
		raw := newRedisRaw(t, url)
		if err := raw[0].FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		return bostest.Options{Driver: openRedis(t, url), Raw: raw}
	}
}

func openRedis(t testing.TB, url string) store.Driver {
	t.Helper()
	d, err := redisstore.OpenDriver(t.Context(), url, redisstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// redisRaw reaches the databases of the reference as the reference does: with plain commands.
type redisRaw []*redis.Client

func newRedisRaw(t testing.TB, url string) redisRaw {
	t.Helper()
	var raw redisRaw
	for b := range store.BucketOurs {
		c := redis.NewClient(&redis.Options{Addr: strings.TrimPrefix(url, "redis://"), DB: int(b), PoolSize: 2})
		t.Cleanup(func() { _ = c.Close() })
		raw = append(raw, c)
	}
	return raw
}

func (r redisRaw) Get(ctx context.Context, b store.Bucket, key string) ([]byte, error) {
	value, err := r[b].Get(ctx, key).Bytes()
	if err == redis.Nil { //nolint:errorlint // go-redis returns it as it is
		return nil, nil
	}
	return value, err
}

func (r redisRaw) Set(ctx context.Context, b store.Bucket, key string, value []byte) error {
	return r[b].Set(ctx, key, value, 0).Err()
}

func (r redisRaw) Keys(ctx context.Context, b store.Bucket) ([]string, error) {
	return r[b].Keys(ctx, "*").Result()
}

func runAPI(t *testing.T, open opener) {
	bostest.RunAPI(t, func(t testing.TB) *bostest.Fixture { return bostest.NewServer(t, open(t)) })
}

func TestAPI(t *testing.T)          { runAPI(t, memory) }
func TestAPIBolt(t *testing.T)      { runAPI(t, bolt) }
func TestAPIMiniredis(t *testing.T) { runAPI(t, onRedis(storetest.NewRedis(t))) }
func TestAPIRedis(t *testing.T)     { runAPI(t, onRedis(storetest.NewRedisServer(t))) }

func TestAPIWithoutDriver(t *testing.T) {
	runAPI(t, func(testing.TB) bostest.Options { return bostest.Options{Store: memstore.New()} })
}

func service(open opener) func(t testing.TB) bos.API {
	return func(t testing.TB) bos.API { return bostest.NewServer(t, open(t)).Service }
}

func overHTTP(open opener) func(t testing.TB) bos.API {
	return func(t testing.TB) bos.API {
		c, err := bosclient.New(bostest.NewServer(t, open(t)).URL, bosclient.Config{PageSize: 3})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
}

func TestMethodsService(t *testing.T)     { bostest.RunMethods(t, service(memory)) }
func TestMethodsServiceBolt(t *testing.T) { bostest.RunMethods(t, service(bolt)) }
func TestMethodsServiceRedis(t *testing.T) {
	bostest.RunMethods(t, service(onRedis(storetest.NewRedis(t))))
}
func TestMethodsClient(t *testing.T)     { bostest.RunMethods(t, overHTTP(memory)) }
func TestMethodsClientBolt(t *testing.T) { bostest.RunMethods(t, overHTTP(bolt)) }
func TestMethodsClientRedis(t *testing.T) {
	bostest.RunMethods(t, overHTTP(onRedis(storetest.NewRedis(t))))
}

// servers starts n API servers over one database.
func servers(n int, open opener) func(t testing.TB) []*bostest.Fixture {
	return func(t testing.TB) []*bostest.Fixture {
		var all []*bostest.Fixture
		for range n {
			all = append(all, bostest.NewServer(t, open(t)))
		}
		return all
	}
}

// alsoOnRedis is another connection to the database of the Redis at url.
func alsoOnRedis(url string) opener {
	return func(t testing.TB) bostest.Options { return bostest.Options{Driver: openRedis(t, url)} }
}

func TestConcurrent(t *testing.T)     { bostest.RunConcurrent(t, servers(1, memory)) }
func TestConcurrentBolt(t *testing.T) { bostest.RunConcurrent(t, servers(1, bolt)) }

func TestConcurrentMiniredis(t *testing.T) {
	bostest.RunConcurrent(t, servers(2, alsoOnRedis(storetest.NewRedis(t))))
}

func TestConcurrentRedis(t *testing.T) {
	bostest.RunConcurrent(t, servers(1, alsoOnRedis(storetest.NewRedisServer(t))))
}

func TestConcurrentTwoServersOnRedis(t *testing.T) {
	bostest.RunConcurrent(t, servers(2, alsoOnRedis(storetest.NewRedisServer(t))))
}
