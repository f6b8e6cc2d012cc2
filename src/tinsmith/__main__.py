"""`python -m tinsmith`, which launchers of several processes start."""

from tinsmith.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
