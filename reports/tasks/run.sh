#!/usr/bin/env bash
# Several labels a picture, and a number a sound: ranked, probed, and the smaller sources fine-tuned.
# About ten minutes on two cores; what is finished is not computed again.
set -euo pipefail
cd "$(dirname "$0")"
rank() { transferscope rank --no-store "$@"; }
confirm() { transferscope confirm --no-store "$@"; }
mobilenet='package:mobilenet-v2?size=64'
efficientnet='package:efficientnet-lite0?size=64'

rank --target 'package:digit-traits?limit=300' --out traits-ranking.json \
  --source "$mobilenet" --source "$efficientnet" --source 'package:ocr-crnn?size=32'
rank --target package:instrument-pitch --out pitch-ranking.json \
  --source "$mobilenet" --source "$efficientnet" --source package:crepe-tiny --source package:resemblyzer
for target in traits pitch; do
  confirm "$target-ranking.json" --top 4 --strategy linear_probe --out "$target-linear_probe.json"
  confirm "$target-ranking.json" --source "$mobilenet" --source "$efficientnet" --strategy full --out "$target-full.json"
done
transferscope evaluate ./*-ranking.json ./*-linear_probe.json ./*-full.json --out evaluation.json
transferscope report ./*.json -o index.html
