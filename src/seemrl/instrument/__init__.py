"""The instrument: measure a critic, forecast its values. It imports nothing from the rooms above."""
