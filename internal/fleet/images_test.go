package fleet

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestIMS(t *testing.T) {
	m := newMachine(t, Config{Nodes: 1})
	images := m.Images()
	archs := map[string]int{}
	for _, img := range images {
		archs[img.Arch]++
		path := "/ims/v3/images/" + img.ID
		want(t, m, "PATCH", path, `{"metadata":{"operation":"set","key":"sbps-project","value":"true"}}`, 200, nil)
		want(t, m, "PATCH", path, `{"metadata":{"operation":"set","key":"sbps-project","value":"true"}}`, 200, nil)
		var got Image
		if want(t, m, "GET", path, "", 200, &got); got.Metadata["sbps-project"] != "true" {
			t.Errorf("metadata %v", got.Metadata)
		}
		want(t, m, "PATCH", path, `{"metadata":{"operation":"remove","key":"sbps-project"}}`, 200, nil)
		want(t, m, "PATCH", path, `{"metadata":{"operation":"remove","key":"absent"}}`, 200, nil)
		want(t, m, "PATCH", path, `{"link":{"path":"s3://elsewhere","etag":"","type":"s3"}}`, 409, nil)
		want(t, m, "PATCH", path, `{"metadata":{"operation":"add","key":"k"}}`, 422, nil)
		want(t, m, "PATCH", path, ``, 400, nil)
		// The manifest and all it names are in S3, with the ETags it says.
		link, _ := strings.CutPrefix(img.Link.Path, "s3://")
		var manifest struct {
			Artifacts []struct {
				Type string
				Link Link
			}
		}
		want(t, m, "GET", "/s3/"+link, "", 200, &manifest)
		kinds := map[string]bool{}
		for _, a := range manifest.Artifacts {
			kinds[strings.TrimPrefix(a.Type, "application/vnd.cray.image.")] = true
			key, _ := strings.CutPrefix(a.Link.Path, "s3://")
			w := call(t, m, "HEAD", "/s3/"+key, "")
			if w.Code != 200 || w.Header().Get("ETag") != `"`+a.Link.ETag+`"` || w.Body.Len() != 0 {
				t.Errorf("HEAD %s = %d, ETag %s, want %q", key, w.Code, w.Header().Get("ETag"), a.Link.ETag)
			}
		}
		if !kinds["kernel"] || !kinds["initrd"] || !kinds["rootfs.squashfs"] || !kinds["parameters.boot"] {
			t.Errorf("%s has %v", img.Name, kinds)
		}
	}
	if archs["x86_64"] < 2 || archs["aarch64"] < 1 {
		t.Errorf("architectures %v", archs)
	}
	want(t, m, "DELETE", "/ims/v3/images/"+images[0].ID, "", 204, nil)
	want(t, m, "GET", "/ims/v3/images/"+images[0].ID, "", 404, nil)
	want(t, m, "GET", "/s3/boot-images/deleted/"+images[0].ID+"/manifest.json", "", 200, nil)
	want(t, m, "GET", "/s3/boot-images/"+images[0].ID+"/manifest.json", "", 404, nil)
	want(t, m, "POST", "/ims/v3/images", `{"name":"a","arch":"vax"}`, 422, nil)
}

func TestS3(t *testing.T) {
	m := newMachine(t, Config{Nodes: 1})
	for path, code := range map[string]string{"/s3/boot-images/none": "NoSuchKey", "/s3/none/key": "NoSuchBucket"} {
		w := call(t, m, "GET", path, "")
		if w.Code != 404 || !strings.Contains(w.Body.String(), "<Code>"+code+"</Code>") {
			t.Errorf("GET %s = %d %s", path, w.Code, w.Body)
		}
		if w = call(t, m, "HEAD", path, ""); w.Code != 404 || w.Body.Len() != 0 {
			t.Errorf("HEAD %s = %d %q", path, w.Code, w.Body)
		}
	}
	h := want(t, m, "PUT", "/s3/mine/a/b", "hello", 200, nil)
	if h.Get("ETag") != `"5d41402abc4b2a76b9719d911017c592"` {
		t.Errorf("ETag %s", h.Get("ETag"))
	}
	r := httptest.NewRequest(http.MethodPut, "/s3/mine/chunked", strings.NewReader("5;chunk-signature=0\r\nhello\r\n0;chunk-signature=0\r\n\r\n"))
	r.Header.Set("X-Amz-Content-Sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
	m.Handler().ServeHTTP(httptest.NewRecorder(), r)
	for _, key := range []string{"a/b", "chunked"} {
		if w := call(t, m, "GET", "/s3/mine/"+key, ""); w.Body.String() != "hello" || w.Header().Get("Content-Length") != "5" {
			t.Errorf("%s holds %q", key, w.Body)
		}
	}
}
