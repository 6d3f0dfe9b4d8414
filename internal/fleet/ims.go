package fleet

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Image is an image record of IMS.
type Image struct {
	ID       string            `json:"id"`
	Created  string            `json:"created"`
	Name     string            `json:"name"`
	Link     *Link             `json:"link"`
	Arch     string            `json:"arch,omitempty"` // x86_64 or aarch64
	Metadata map[string]string `json:"metadata"`
}

// Link points to an object in S3.
type Link struct {
	Path string `json:"path"`
	ETag string `json:"etag"`
	Type string `json:"type"`
}

// ims is the Image Management Service.
type ims struct {
	images  map[string]*Image
	deleted map[string]*Image
}

const bootBucket = "boot-images"

// seedImages makes the images that every machine has: two of a kind, so that one
// can be booted and the other rebooted to, one for UANs and one for ARM.
func seedImages(when time.Time) (ims, s3) {
	i := ims{images: map[string]*Image{}, deleted: map[string]*Image{}}
	store := newS3()
	for _, seed := range []struct{ id, name, arch string }{
		{"06901f40-f2a6-4a64-bc26-772a5cc9d321", "compute-24.7.0-x86_64", "x86_64"},
		{"46a2731e-a1d0-4f98-ba92-4f78c756bb12", "compute-24.11.0-x86_64", "x86_64"},
		{"8b7f2f5c-6d8f-4c52-9a0e-3f1d5f2f7a31", "uan-24.11.0-x86_64", "x86_64"},
		{"c1d0a6a2-52c5-4a53-9e0f-6b8f0f4be0d7", "compute-24.11.0-aarch64", "aarch64"},
	} {
		i.images[seed.id] = &Image{
			ID: seed.id, Created: "2025-01-01T10:00:00.000000", Name: seed.name, Arch: seed.arch,
			Link: store.seedImage(seed.id, seed.name, when), Metadata: map[string]string{},
		}
	}
	return i, store
}

// seedImage stores the five objects of an image and returns the link to its
// manifest.
func (s *s3) seedImage(id, name string, when time.Time) *Link {
	type artifact struct {
		Type string `json:"type"`
		MD5  string `json:"md5"`
		Link Link   `json:"link"`
	}
	put := func(file, content, parts string) artifact {
		o := s.put(bootBucket, id+"/"+file, []byte(content), when)
		md5 := o.etag
		o.etag += parts // of a multipart upload
		return artifact{MD5: md5, Link: Link{Path: "s3://" + bootBucket + "/" + id + "/" + file, ETag: o.etag, Type: "s3"}}
	}
	const vnd = "application/vnd.cray.image."
	rootfs, kernel := put("rootfs", "squashfs of "+name+"\n", "-131"), put("kernel", "kernel of "+name+"\n", "")
	initrd := put("initrd", "initrd of "+name+"\n", "-3")
	params := put("boot_parameters", "console=ttyS0,115200 bad_page=panic\ncrashkernel=360M  image="+name+"\n", "")
	rootfs.Type, kernel.Type, initrd.Type, params.Type = vnd+"rootfs.squashfs", vnd+"kernel", vnd+"initrd", vnd+"parameters.boot"
	manifest, err := json.Marshal(map[string]any{
		"version": "1.0", "created": "2025-01-01 10:00:00", "artifacts": []artifact{rootfs, kernel, initrd, params},
	})
	if err != nil {
		panic(err) // strings always marshal
	}
	o := s.put(bootBucket, id+"/manifest.json", manifest, when)
	return &Link{Path: "s3://" + bootBucket + "/" + id + "/manifest.json", ETag: o.etag, Type: "s3"}
}

// Images lists the images of the machine by name.
func (m *Machine) Images() []Image {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.imageList(m.ims.images)
}

// imageList copies images, ordered by name. m.mu is held.
func (m *Machine) imageList(from map[string]*Image) []Image {
	list := []Image{}
	for _, id := range slices.Sorted(maps.Keys(from)) { // in order: each takes its chances
		if !m.imageDeleted(nil, id) {
			list = append(list, from[id].clone())
		}
	}
	slices.SortFunc(list, func(a, b Image) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return list
}

func (i *Image) clone() Image {
	c := *i
	c.Metadata = maps.Clone(i.Metadata)
	return c
}

func (m *Machine) routeIMS(mux *http.ServeMux) {
	const base = "/ims/v3"
	mux.HandleFunc("GET "+base+"/images", func(w http.ResponseWriter, _ *http.Request) {
		list := m.Images()
		about(w, len(list))
		writeJSON(w, http.StatusOK, list)
	})
	mux.HandleFunc("POST "+base+"/images", m.imageCreate)
	mux.HandleFunc("GET "+base+"/images/{id}", m.withImage(func(w http.ResponseWriter, _ *http.Request, img *Image) {
		writeJSON(w, http.StatusOK, img)
	}))
	mux.HandleFunc("PATCH "+base+"/images/{id}", m.withImage(m.imagePatch))
	mux.HandleFunc("DELETE "+base+"/images/{id}", m.withImage(m.imageDelete))
	mux.HandleFunc("GET "+base+"/deleted/images", func(w http.ResponseWriter, _ *http.Request) {
		m.mu.Lock()
		list := m.imageList(m.ims.deleted)
		m.mu.Unlock()
		writeJSON(w, http.StatusOK, list)
	})
	for _, path := range []string{"/ims/healthz/ready", "/ims/healthz/live", base + "/healthz/ready", base + "/healthz/live"} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, map[string]string{}) })
	}
	mux.HandleFunc("GET /ims/version", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"version": "3.16.0"})
	})
}

// withImage finds the image of the path and holds the lock meanwhile.
func (m *Machine) withImage(h func(http.ResponseWriter, *http.Request, *Image)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		about(w, 1)
		m.mu.Lock()
		defer m.mu.Unlock()
		img := m.ims.images[r.PathValue("id")]
		if img == nil || m.imageDeleted(nil, img.ID) {
			problem(w, http.StatusNotFound, "The requested resource does not exist. Re-run request with valid ID.")
			return
		}
		h(w, r, img)
	}
}

var imageArchs = []string{"x86_64", "aarch64"}

// imageCreate is asymmetric: metadata is one {"key","value"} here, a map in the
// record.
func (m *Machine) imageCreate(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Name     string
		Link     *Link
		Arch     string
		Metadata *struct{ Key, Value string }
	}
	if err := decode(r, &body); err != nil {
		problemf(w, http.StatusBadRequest, "No input provided: %s", err)
		return
	}
	if body.Name == "" || body.Arch != "" && !slices.Contains(imageArchs, body.Arch) {
		problem(w, http.StatusUnprocessableEntity, "Input data was understood, but failed validation: name is required, arch is x86_64 or aarch64")
		return
	}
	img := &Image{ID: m.newID(), Name: body.Name, Link: body.Link, Arch: cmp.Or(body.Arch, "x86_64"), Metadata: map[string]string{}}
	if body.Metadata != nil {
		img.Metadata[body.Metadata.Key] = body.Metadata.Value
	}
	m.mu.Lock()
	img.Created = m.serviceTime("ims").Format("2006-01-02T15:04:05.000000")
	m.ims.images[img.ID] = img
	answer := img.clone()
	m.mu.Unlock()
	writeJSON(w, http.StatusCreated, answer)
}

func (m *Machine) imagePatch(w http.ResponseWriter, r *http.Request, img *Image) {
	var body struct {
		Link     *Link
		Arch     string
		Metadata *struct{ Operation, Key, Value string }
	}
	if err := decode(r, &body); err != nil {
		problemf(w, http.StatusBadRequest, "No input provided: %s", err)
		return
	}
	md := body.Metadata
	switch {
	case body.Arch != "" && !slices.Contains(imageArchs, body.Arch),
		md != nil && (md.Key == "" || md.Operation != "set" && md.Operation != "remove"):
		problem(w, http.StatusUnprocessableEntity, "Input data was understood, but failed validation.")
		return
	case body.Link != nil && img.Link != nil && *body.Link != *img.Link:
		problem(w, http.StatusConflict, "The patch operation conflicts with the image's link: it cannot be changed.")
		return
	}
	if body.Link != nil {
		img.Link = body.Link
	}
	if body.Arch != "" {
		img.Arch = body.Arch
	}
	if md != nil {
		if md.Operation == "set" {
			img.Metadata[md.Key] = md.Value
		} else {
			delete(img.Metadata, md.Key)
		}
	}
	writeJSON(w, http.StatusOK, img)
}

// imageDelete is soft: the record and its objects move to deleted.
func (m *Machine) imageDelete(w http.ResponseWriter, _ *http.Request, img *Image) {
	delete(m.ims.images, img.ID)
	m.ims.deleted[img.ID] = img
	bucket := m.s3.buckets[bootBucket]
	for key, o := range bucket {
		if strings.HasPrefix(key, img.ID+"/") {
			delete(bucket, key)
			bucket["deleted/"+key] = o
		}
	}
	if img.Link != nil {
		link := *img.Link
		link.Path = strings.Replace(link.Path, "/"+img.ID+"/", "/deleted/"+img.ID+"/", 1)
		img.Link = &link
	}
	w.WriteHeader(http.StatusNoContent)
}
