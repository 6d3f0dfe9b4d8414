package bos

// Every change is written and read several times on its way to a subscriber, so that its JSON is done by hand too.

// MarshalJSON implements json.Marshaler.
func (c Change) MarshalJSON() ([]byte, error) {
	b := make([]byte, 0, 256)
	b = appendString(append(b, `{"cursor":`...), c.Cursor.String())
	b = appendString(appendName(b, "kind"), string(c.Kind))
	b = appendTrue(b, "deleted", c.Deleted)
	b = appendNonEmpty(b, "id", c.ID)
	b = appendNonEmpty(b, "tenant", c.Tenant)
	b = appendNonEmpty(b, "writer", c.Writer)
	if len(c.Fields) > 0 {
		b = append(appendName(b, "fields"), '[')
		for i, f := range c.Fields {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, f)
		}
		b = append(b, ']')
	}
	b = appendTrue(b, "heartbeat", c.Heartbeat)
	b = appendTrue(b, "enabled", c.Enabled)
	b = appendNonEmpty(b, "status", c.Status)
	b = appendNonEmpty(b, "phase", c.Phase)
	b = appendNonEmpty(b, "session", c.Session)
	b = appendNonEmpty(b, "staged_session", c.StagedSession)
	return append(b, '}'), nil
}

// UnmarshalJSON implements json.Unmarshaler. It checks the whole text and passes over members that are not known.
func (c *Change) UnmarshalJSON(data []byte) error { return unmarshalObject(data, c) }

func (c *Change) read(r *jsonReader) {
	for r.next() {
		switch string(r.name) {
		case "cursor":
			if err := c.Cursor.UnmarshalText([]byte(textOf[string](r))); err != nil && r.err == nil {
				r.err = err
			}
		case "kind":
			c.Kind = textOf[ChangeKind](r)
		case "deleted":
			c.Deleted = Value(readBool(r))
		case "id":
			c.ID = textOf[string](r)
		case "tenant":
			c.Tenant = textOf[string](r)
		case "writer":
			c.Writer = textOf[string](r)
		case "fields":
			c.Fields = readTexts(r)
		case "heartbeat":
			c.Heartbeat = Value(readBool(r))
		case "enabled":
			c.Enabled = Value(readBool(r))
		case "status":
			c.Status = textOf[Status](r)
		case "phase":
			c.Phase = textOf[Phase](r)
		case "session":
			c.Session = textOf[string](r)
		case "staged_session":
			c.StagedSession = textOf[string](r)
		default:
			r.skip()
		}
	}
}

// textOf reads a string; a null is the empty one.
func textOf[T ~string](r *jsonReader) T {
	switch {
	case r.isNull():
	case r.peek() != '"':
		r.fail("a string")
	default:
		return T(r.text())
	}
	return ""
}

// readTexts reads an array of strings.
func readTexts(r *jsonReader) (list []string) {
	if r.isNull() {
		return nil
	}
	if r.peek() != '[' {
		r.fail("an array")
		return nil
	}
	r.each(func() { list = append(list, textOf[string](r)) })
	return list
}

func appendNonEmpty[T ~string](b []byte, name string, v T) []byte {
	if v == "" {
		return b
	}
	return appendString(appendName(b, name), string(v))
}

func appendTrue(b []byte, name string, v bool) []byte {
	if !v {
		return b
	}
	return append(appendName(b, name), "true"...)
}
