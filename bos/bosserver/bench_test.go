package bosserver

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store/memstore"
)

// fullRecord is a component as big as they are on a real machine.
func fullRecord(i int) string {
	return fmt.Sprintf(`{"id":"x%dc0s%db0n0","enabled":false,"error":"","session":"s%d","retry_policy":3,
"actual_state":{"bss_token":"6b4d1f0e-8e0b-4d26-a6e1-5a8f2a3d5c11","boot_artifacts":{"kernel":"s3://boot-images/3a1c6e7c-26b7-4a3a-8a2d-0d8bb55d2b5f/kernel","initrd":"s3://boot-images/3a1c6e7c-26b7-4a3a-8a2d-0d8bb55d2b5f/initrd","kernel_parameters":"console=ttyS0,115200 bad_page=panic crashkernel=512M hugepagelist=2m-2g intel_iommu=off iommu.passthrough=on modprobe.blacklist=amdgpu numa_interleave_omit=headless oops=panic pageblock_order=14 rd.neednet=1 rd.retry=10 rd.shell split_lock_detect=off systemd.unified_cgroup_hierarchy=1 ip=dhcp quiet spire_join_token=${SPIRE_JOIN_TOKEN} root=sbps-s3://boot-images/3a1c6e7c/rootfs"}},
"desired_state":{"configuration":"cos-config-1.0","bss_token":"6b4d1f0e-8e0b-4d26-a6e1-5a8f2a3d5c11","boot_artifacts":{"kernel":"s3://boot-images/3a1c6e7c-26b7-4a3a-8a2d-0d8bb55d2b5f/kernel","initrd":"s3://boot-images/3a1c6e7c-26b7-4a3a-8a2d-0d8bb55d2b5f/initrd","kernel_parameters":"console=ttyS0,115200 bad_page=panic crashkernel=512M hugepagelist=2m-2g intel_iommu=off iommu.passthrough=on modprobe.blacklist=amdgpu numa_interleave_omit=headless oops=panic pageblock_order=14 rd.neednet=1 rd.retry=10 rd.shell split_lock_detect=off systemd.unified_cgroup_hierarchy=1 ip=dhcp quiet"}},
"staged_state":{},"last_action":{"action":"powering_on","failed":false},"event_stats":{"power_on_attempts":1,"power_off_graceful_attempts":0,"power_off_forceful_attempts":0},"status":{"phase":"","status_override":""}}`, 1000+i/64, i%64, i%7)
}

func fullList(n int) []byte {
	var buf bytes.Buffer
	buf.WriteByte('[')
	for i := range n {
		if i > 0 {
			buf.WriteByte(',')
		}
		buf.WriteString(fullRecord(i))
	}
	buf.WriteByte(']')
	return buf.Bytes()
}

// filled returns a handler over a store in memory with n components.
func filled(b *testing.B, n int) http.Handler {
	st := memstore.New()
	b.Cleanup(func() { _ = st.Close() })
	h := NewHandler(New(st, Config{}), HandlerConfig{})
	request(b, h, "PUT", "/v2/components", fullList(n))
	return h
}

func request(b *testing.B, h http.Handler, method, target string, body []byte) {
	b.Helper()
	r := httptest.NewRequest(method, target, bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != http.StatusOK {
		b.Fatalf("%s %s: %d %.300s", method, target, w.Code, w.Body)
	}
}

func BenchmarkCheck2800(b *testing.B) {
	body := fullList(2800)
	s := loadDocument().ops["PATCH /v2/components"].body
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := checkBody(body, s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode2800(b *testing.B) {
	body := fullList(2800)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeList[bos.ComponentPatch](body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPatchOne(b *testing.B) {
	h := filled(b, 1000)
	body := []byte(`{"actual_state":{"bss_token":"6b4d1f0e-8e0b-4d26-a6e1-5a8f2a3d5c11"}}`)
	b.ReportAllocs()
	for b.Loop() {
		request(b, h, "PATCH", "/v2/components/x1000c0s0b0n0", body)
	}
}

func BenchmarkPatch2800(b *testing.B) {
	h := filled(b, 10_000)
	var items []string
	for i := range 2800 {
		items = append(items, fmt.Sprintf(`{"id":"x%dc0s%db0n0","status":{"phase":"powering_on","status_override":""},"error":"e"}`, 1000+i/64, i%64))
	}
	body := []byte("[" + joinComma(items) + "]")
	other := bytes.ReplaceAll(body, []byte(`"error":"e"`), []byte(`"error":""`))
	b.ReportAllocs()
	for b.Loop() {
		request(b, h, "PATCH", "/v2/components", body)
		body, other = other, body
	}
}

func joinComma(items []string) string {
	var buf bytes.Buffer
	for i, item := range items {
		if i > 0 {
			buf.WriteByte(',')
		}
		buf.WriteString(item)
	}
	return buf.String()
}

func BenchmarkList10000(b *testing.B) {
	h := filled(b, 10_000)
	for _, query := range []string{"", "?status=failed", "?session=s1&enabled=true", "?ids=x1000c0s0b0n0,x1000c0s1b0n0"} {
		b.Run("GET"+query, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				request(b, h, "GET", "/v2/components"+query, nil)
			}
		})
	}
}
