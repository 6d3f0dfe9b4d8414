package bos

// The records that live in the database keep the members they do not know; this file gives each of them the same two
// JSON methods. A "plain" type is the record without methods, so that encoding/json does the known members.

type plainArtifactFields ArtifactFields

// MarshalJSON writes the known members and then those in Extra.
func (a ArtifactFields) MarshalJSON() ([]byte, error) {
	return encodeRecord(plainArtifactFields(a), a.Extra)
}

// UnmarshalJSON keeps unknown members in Extra.
func (a *ArtifactFields) UnmarshalJSON(data []byte) (err error) {
	a.Extra, err = decodeRecord(data, (*plainArtifactFields)(a))
	return err
}

type plainActualState ActualState

// MarshalJSON writes the known members and then those in Extra.
func (a ActualState) MarshalJSON() ([]byte, error) { return encodeRecord(plainActualState(a), a.Extra) }

// UnmarshalJSON keeps unknown members in Extra.
func (a *ActualState) UnmarshalJSON(data []byte) (err error) {
	a.Extra, err = decodeRecord(data, (*plainActualState)(a))
	return err
}

type plainDesiredState DesiredState

// MarshalJSON writes the known members and then those in Extra.
func (d DesiredState) MarshalJSON() ([]byte, error) {
	return encodeRecord(plainDesiredState(d), d.Extra)
}

// UnmarshalJSON keeps unknown members in Extra.
func (d *DesiredState) UnmarshalJSON(data []byte) (err error) {
	d.Extra, err = decodeRecord(data, (*plainDesiredState)(d))
	return err
}

type plainStagedState StagedState

// MarshalJSON writes the known members and then those in Extra.
func (s StagedState) MarshalJSON() ([]byte, error) { return encodeRecord(plainStagedState(s), s.Extra) }

// UnmarshalJSON keeps unknown members in Extra.
func (s *StagedState) UnmarshalJSON(data []byte) (err error) {
	s.Extra, err = decodeRecord(data, (*plainStagedState)(s))
	return err
}

type plainLastAction LastAction

// MarshalJSON writes the known members and then those in Extra.
func (l LastAction) MarshalJSON() ([]byte, error) { return encodeRecord(plainLastAction(l), l.Extra) }

// UnmarshalJSON keeps unknown members in Extra.
func (l *LastAction) UnmarshalJSON(data []byte) (err error) {
	l.Extra, err = decodeRecord(data, (*plainLastAction)(l))
	return err
}

type plainEventStats EventStats

// MarshalJSON writes the known members and then those in Extra.
func (e EventStats) MarshalJSON() ([]byte, error) { return encodeRecord(plainEventStats(e), e.Extra) }

// UnmarshalJSON keeps unknown members in Extra.
func (e *EventStats) UnmarshalJSON(data []byte) (err error) {
	e.Extra, err = decodeRecord(data, (*plainEventStats)(e))
	return err
}

type plainComponentStatus ComponentStatus

// MarshalJSON writes the known members and then those in Extra.
func (c ComponentStatus) MarshalJSON() ([]byte, error) {
	return encodeRecord(plainComponentStatus(c), c.Extra)
}

// UnmarshalJSON keeps unknown members in Extra.
func (c *ComponentStatus) UnmarshalJSON(data []byte) (err error) {
	c.Extra, err = decodeRecord(data, (*plainComponentStatus)(c))
	return err
}

type plainComponent Component

// MarshalJSON writes the known members and then those in Extra.
func (c Component) MarshalJSON() ([]byte, error) { return encodeRecord(plainComponent(c), c.Extra) }

// UnmarshalJSON keeps unknown members in Extra.
func (c *Component) UnmarshalJSON(data []byte) (err error) {
	c.Extra, err = decodeRecord(data, (*plainComponent)(c))
	return err
}

type plainComponentPatch ComponentPatch

// MarshalJSON writes the known members and then those in Extra.
func (c ComponentPatch) MarshalJSON() ([]byte, error) {
	return encodeRecord(plainComponentPatch(c), c.Extra)
}

// UnmarshalJSON keeps unknown members in Extra.
func (c *ComponentPatch) UnmarshalJSON(data []byte) (err error) {
	c.Extra, err = decodeRecord(data, (*plainComponentPatch)(c))
	return err
}

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
