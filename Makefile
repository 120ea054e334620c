# Entry points for people. Each does all its own set-up; `.ci/run` is what `make test` and CI run.

.PHONY: help setup run test interop-all

help:
	@echo "make run                build, prove it on real bytes, and serve"
	@echo "make run SOURCE=...     build, and download a .torrent, magnet link or URL"
	@echo "make test               run every test (make test STAGES='fmt lint' for some stages)"
	@echo "make interop-all        run the complete interop matrix"
	@echo "make setup              only install what these need"

setup:
	@tests/setup.sh

run:
	@tests/setup.sh build
	@deploy/run.sh $(if $(SOURCE),"$(SOURCE)")

test:
	@.ci/run $(STAGES)

interop-all:
	@.ci/run setup interop-all
