package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"sigs.k8s.io/yaml"
)

// print writes v as --output asks; table makes the rows for people, the first one the heading.
func (e *env) print(v any, table func() [][]string) error {
	switch e.output {
	case "json":
		enc := json.NewEncoder(e.stdout)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(v)
	case "yaml":
		data, err := yaml.Marshal(v)
		if err != nil {
			return err
		}
		_, err = e.stdout.Write(data)
		return err
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	for _, row := range table() {
		fmt.Fprintln(w, strings.TrimRight(strings.Join(row, "\t"), "\t "))
	}
	return w.Flush()
}

// flatten makes rows "member value" of any JSON value, for describing one record.
func flatten(v any) [][]string {
	data, err := json.Marshal(v)
	if err != nil {
		return [][]string{{"error", err.Error()}}
	}
	var rows [][]string
	var tree any
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.UseNumber()
	if err := dec.Decode(&tree); err != nil {
		return [][]string{{"error", err.Error()}}
	}
	walk("", tree, func(path, value string) { rows = append(rows, []string{path, value}) })
	return rows
}

func walk(path string, v any, emit func(path, value string)) {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range sortedKeys(v) {
			walk(strings.TrimPrefix(path+"."+name, "."), v[name], emit)
		}
	case []any:
		items := make([]string, len(v))
		for i, item := range v {
			items[i] = fmt.Sprint(item)
		}
		emit(path, or(strings.Join(items, ","), "-"))
	case nil:
		emit(path, "-")
	default:
		emit(path, or(fmt.Sprint(v), "-"))
	}
}
