package redisstore_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store/redisstore"
)

// selfSigned returns a certificate for 127.0.0.1 and its PEM file.
func selfSigned(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

func TestTLS(t *testing.T) {
	cert, caFile := selfSigned(t)
	server := miniredis.NewMiniRedis()
	server.RequireUserAuth("bos", "s3cret")
	if err := server.StartTLS(&tls.Config{Certificates: []tls.Certificate{cert}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	for _, row := range []struct {
		name, url string
		cfg       redisstore.Config
		want      error
	}{
		{"trusted", "rediss://bos:s3cret@" + server.Addr(), redisstore.Config{CAFile: caFile}, nil},
		{"not trusted", "rediss://bos:s3cret@" + server.Addr(), redisstore.Config{}, bos.ErrUnavailable},
		{"without TLS", "redis://bos:s3cret@" + server.Addr(), redisstore.Config{}, bos.ErrUnavailable},
	} {
		t.Run(row.name, func(t *testing.T) {
			st, err := redisstore.Open(t.Context(), row.url, row.cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close()
			if err := put(t.Context(), st, "t"); !errors.Is(err, row.want) {
				t.Errorf("Put = %v, want %v", err, row.want)
			}
		})
	}
}
