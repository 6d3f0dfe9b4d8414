package bos

import (
	"encoding/json"
	"testing"
)

// TestUnknownMembersOfAnotherCase guards against a poisoned record: an unknown option that differs from a known one in
// case only is accepted and stored, and must not be taken for it when the record is read again.
func TestUnknownMembersOfAnotherCase(t *testing.T) {
	var o Options
	if err := json.Unmarshal([]byte(`{"polling_frequency":20,"Polling_Frequency":"x","POLLING_FREQUENCY":99}`), &o); err != nil {
		t.Fatal(err)
	}
	if got := o.patch(); *got.PollingFrequency != 20 || len(o.Extra) != 2 {
		t.Errorf("polling_frequency = %d, extra = %v", *got.PollingFrequency, o.Extra)
	}
	var s Session
	if err := json.Unmarshal([]byte(`{"name":"a","Name":"b","Status":5}`), &s); err != nil {
		t.Fatal(err)
	}
	if s.Name != "a" || string(s.Extra["Name"]) != `"b"` || s.Status != nil {
		t.Errorf("read as %+v", s)
	}
	if err := json.Unmarshal([]byte(`{"name":5,"Name":"b"}`), &s); err == nil {
		t.Error("a name that is a number is taken")
	}
}
