"""The runtime for other machines than this one: built here, and run here under their emulators."""
