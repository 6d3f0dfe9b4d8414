package bosserver

import (
	"context"

	"github.com/bootorch/bosgo/bos"
)

// Options returns the twenty options; reading writes nothing.
func (s *Service) Options(ctx context.Context) (bos.Options, error) {
	o, err := s.st.Options().Get(ctx)
	o.Extra = nil
	return o, storeError(err)
}

// UpdateOptions changes the options that are present. Unknown ones are in the answer, once.
func (s *Service) UpdateOptions(ctx context.Context, p bos.OptionsPatch) (bos.Options, error) {
	if err := checkTyped("V2Options", p); err != nil {
		return bos.Options{}, err
	}
	o, err := s.st.Options().Update(ctx, func(o *bos.Options) error {
		o.Apply(p)
		return nil
	})
	return o, storeError(err)
}

// Settings returns our settings.
func (s *Service) Settings(ctx context.Context) (bos.Settings, error) {
	v, err := s.st.Settings().Get(ctx)
	return v, storeError(err)
}

// UpdateSettings changes the settings that are present, all or none.
func (s *Service) UpdateSettings(ctx context.Context, p bos.SettingsPatch) (bos.Settings, error) {
	v, err := s.st.Settings().Update(ctx, func(v *bos.Settings) error {
		wasPaused := v.Paused
		if err := v.Apply(p); err != nil {
			return err
		}
		if wasPaused && !v.Paused {
			v.ResumedAt = s.stamp()
		}
		return nil
	})
	return v, storeError(err)
}
