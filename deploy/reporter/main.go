// Command reporter builds bos-reporter and packs it: an RPM and a DEB for each architecture. From the top of
// the repository:
//
//	go run -C deploy/reporter . --version 0.1.0 --out dist
//
// The same sources and the same SOURCE_DATE_EPOCH (default: the time of the last commit) give the same packages.
package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm"
)

func main() {
	version := flag.String("version", "", "version of the packages, such as 0.1.0 (required)")
	out := flag.String("out", "dist", "directory for the packages, from the top of the repository")
	arches := flag.String("arch", "amd64,arm64", "architectures")
	formats := flag.String("format", "deb,rpm", "formats")
	flag.Parse()
	if err := run(*version, *out, strings.Split(*arches, ","), strings.Split(*formats, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "reporter:", err)
		os.Exit(1)
	}
}

// run writes all packages. It expects to be in this directory.
func run(version, out string, arches, formats []string) error {
	if version == "" {
		return errors.New("--version is required")
	}
	top, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	if !filepath.IsAbs(out) {
		out = filepath.Join(top, out)
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	when, err := sourceDate()
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "bos-reporter-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	manPage := filepath.Join(tmp, "bos-reporter.8.gz")
	if err := compress("bos-reporter.8", manPage); err != nil {
		return err
	}
	for _, arch := range arches {
		binary := filepath.Join(tmp, "bos-reporter-"+arch)
		if err := build(top, binary, arch, version); err != nil {
			return fmt.Errorf("build for %s: %w", arch, err)
		}
		vars := map[string]string{"VERSION": version, "ARCH": arch, "BINARY": binary, "MANPAGE": manPage}
		for _, format := range formats {
			path, err := pack(format, out, vars, when)
			if err != nil {
				return fmt.Errorf("%s for %s: %w", format, arch, err)
			}
			fmt.Println(path)
		}
	}
	return nil
}

func build(top, binary, arch, version string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid= -X main.version="+version,
		"-o", binary, "./cmd/bos-reporter")
	cmd.Dir = top
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	cmd.Stderr = os.Stderr
	return cmd.Run()
}

func pack(format, out string, vars map[string]string, when time.Time) (string, error) {
	cfg, err := nfpm.ParseFileWithEnvMapping("nfpm.yaml", func(name string) string { return vars[name] })
	if err != nil {
		return "", err
	}
	info, err := cfg.Get(format)
	if err != nil {
		return "", err
	}
	if format == "rpm" {
		// The Python package is at version 3: without an epoch it would win wherever a repository offers both.
		info.Epoch = "1"
	}
	info.MTime = when
	for _, c := range info.Contents {
		if c.FileInfo == nil {
			c.FileInfo = new(files.ContentFileInfo)
		}
		c.FileInfo.MTime = when
	}
	info = nfpm.WithDefaults(info)
	packager, err := nfpm.Get(format)
	if err != nil {
		return "", err
	}
	if err := nfpm.PrepareForPackager(info, format); err != nil {
		return "", err
	}
	var b bytes.Buffer
	if err := packager.Package(info, &b); err != nil {
		return "", err
	}
	path := filepath.Join(out, packager.ConventionalFileName(info))
	return path, os.WriteFile(path, b.Bytes(), 0o644)
}

// compress writes a file as gzip, without name and time.
func compress(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	var z bytes.Buffer
	w, _ := gzip.NewWriterLevel(&z, gzip.BestCompression)
	if _, err := w.Write(b); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(to, z.Bytes(), 0o644)
}

// sourceDate returns the time that the files in the packages have.
func sourceDate() (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		out, err := exec.Command("git", "log", "-1", "--format=%ct").Output()
		if err != nil {
			return time.Now(), nil // not a git checkout
		}
		text = strings.TrimSpace(string(out))
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	return time.Unix(seconds, 0).UTC(), nil
}
