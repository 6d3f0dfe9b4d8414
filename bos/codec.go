package bos

// The records that live in the database keep the members they do not know; this file gives each of them the same two
// JSON methods, components apart, which have component_json.go. A "plain" type is the record without methods, so that
// encoding/json does the known members.

type plainCFSParameters CFSParameters

// MarshalJSON writes the known members and then those in Extra.
func (c CFSParameters) MarshalJSON() ([]byte, error) {
	return encodeRecord(plainCFSParameters(c), c.Extra)
}

// UnmarshalJSON keeps unknown members in Extra.
func (c *CFSParameters) UnmarshalJSON(data []byte) (err error) {
	c.Extra, err = decodeRecord(data, (*plainCFSParameters)(c))
	return err
}

type plainBootSet BootSet

// MarshalJSON writes the known members and then those in Extra.
func (b BootSet) MarshalJSON() ([]byte, error) { return encodeRecord(plainBootSet(b), b.Extra) }

// UnmarshalJSON keeps unknown members in Extra.
func (b *BootSet) UnmarshalJSON(data []byte) (err error) {
	b.Extra, err = decodeRecord(data, (*plainBootSet)(b))
	return err
}

type plainSessionTemplate SessionTemplate

// MarshalJSON writes the known members and then those in Extra.
func (s SessionTemplate) MarshalJSON() ([]byte, error) {
	return encodeRecord(plainSessionTemplate(s), s.Extra)
}

// UnmarshalJSON keeps unknown members in Extra.
func (s *SessionTemplate) UnmarshalJSON(data []byte) (err error) {
	s.Extra, err = decodeRecord(data, (*plainSessionTemplate)(s))
	return err
}

type plainSessionStatus SessionStatus

// MarshalJSON writes the known members and then those in Extra.
func (s SessionStatus) MarshalJSON() ([]byte, error) {
	return encodeRecord(plainSessionStatus(s), s.Extra)
}

// UnmarshalJSON keeps unknown members in Extra.
func (s *SessionStatus) UnmarshalJSON(data []byte) (err error) {
	s.Extra, err = decodeRecord(data, (*plainSessionStatus)(s))
	return err
}

type plainSession Session

// MarshalJSON writes the known members and then those in Extra.
func (s Session) MarshalJSON() ([]byte, error) { return encodeRecord(plainSession(s), s.Extra) }

// UnmarshalJSON keeps unknown members in Extra.
func (s *Session) UnmarshalJSON(data []byte) (err error) {
	s.Extra, err = decodeRecord(data, (*plainSession)(s))
	return err
}

type plainOptionsPatch OptionsPatch

// MarshalJSON writes the known members and then those in Extra.
func (o OptionsPatch) MarshalJSON() ([]byte, error) {
	return encodeRecord(plainOptionsPatch(o), o.Extra)
}

// UnmarshalJSON keeps unknown members in Extra.
func (o *OptionsPatch) UnmarshalJSON(data []byte) (err error) {
	o.Extra, err = decodeRecord(data, (*plainOptionsPatch)(o))
	return err
}
