package bos

// Phase is the coarse step of a component, written by the status operator only.
type Phase string

// The phases. Source: BOS v2 API, V2ComponentPhase.
const (
	PhaseNone        Phase = ""
	PhasePoweringOn  Phase = "powering_on"
	PhasePoweringOff Phase = "powering_off"
	PhaseConfiguring Phase = "configuring"
)

// Status is the fine step of a component, computed from its override, phase and last action.
type Status string

// The statuses. An override may hold any other text, which then is the status.
const (
	StatusPowerOnPending           Status = "power_on_pending"
	StatusPowerOnCalled            Status = "power_on_called"
	StatusPowerOffPending          Status = "power_off_pending"
	StatusPowerOffGracefullyCalled Status = "power_off_gracefully_called"
	StatusPowerOffForcefullyCalled Status = "power_off_forcefully_called"
	StatusConfiguring              Status = "configuring"
	StatusStable                   Status = "stable"
	StatusFailed                   Status = "failed"
	StatusOnHold                   Status = "on_hold"
)

// ComputeStatus returns the status of the component. Source: BOS v2 API, computed status (operators 3.2).
func (c *Component) ComputeStatus() Status {
	if o := c.Override(); o != "" {
		return o
	}
	switch c.CurrentPhase() {
	case PhasePoweringOn:
		if c.Action() == ActionPoweringOn && !c.ActionFailed() {
			return StatusPowerOnCalled
		}
		return StatusPowerOnPending
	case PhasePoweringOff:
		switch c.Action() {
		case ActionPoweringOffGraceful:
			return StatusPowerOffGracefullyCalled
		case ActionPoweringOffForceful:
			return StatusPowerOffForcefullyCalled
		}
		return StatusPowerOffPending
	case PhaseConfiguring:
		return StatusConfiguring
	}
	return StatusStable
}
