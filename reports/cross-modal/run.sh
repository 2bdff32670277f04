#!/usr/bin/env bash
# Rank, confirm and report the three cross-modal targets: reports/cross-modal/run.sh FOLDER
# FOLDER is what prepare.py filled. A quarter of an hour on two cores; what is finished is not computed again.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$1"

drums="csv:drums.csv?audio=audio&label=type&group=kit"
transferscope rank --target "$drums" --out "$here/drums-ranking.json" \
  --source "package:efficientnet-lite0?size=96" --source "package:mobilenet-v2?size=96" \
  --source package:whisper-base --source package:resemblyzer --source package:crepe-tiny --source package:minilm-l6 \
  --adapter "waveform->image?channels=repeat" --adapter "waveform->image?channels=deltas" \
  --adapter "waveform->image?channels=windows"

genres="csv:genres.csv?text=text&label=genre"
transferscope rank --target "$genres" --max-samples 600 --out "$here/genres-ranking.json" \
  --source package:minilm-l6 --source package:e5-small --source package:ocr-crnn --source "package:efficientnet-lite0?size=160" \
  --source package:resemblyzer \
  --adapter "text->image?layout=square" --adapter "text->image?layout=strip"

clothes="csv:clothes.csv?image=image&label=kind"
transferscope rank --target "$clothes" --max-samples 700 --out "$here/clothes-ranking.json" \
  --source "package:efficientnet-lite0?size=64" --source "package:mobilenet-v2?size=64" --source package:minilm-l6 \
  --source package:crepe-tiny \
  --adapter "image->tokens?align=none" --adapter "image->tokens?align=moments" \
  --adapter "image->tokens?align=mmd" --adapter "image->tokens?align=otdd"

for target in drums genres clothes; do
  transferscope confirm "$here/$target-ranking.json" --top 6 --controls --strategy linear_probe \
    --out "$here/$target-linear_probe.json"
done

# short ones: three epochs, one rate, one seed; of sources that two cores train in minutes
short=(--strategy full --epochs 3 --learning-rate 1e-4 --seeds 1)
transferscope confirm "$here/drums-ranking.json" "${short[@]}" --out "$here/drums-full.json" \
  --source package:resemblyzer --source "package:mobilenet-v2?size=96" --source package:minilm-l6
transferscope confirm "$here/genres-ranking.json" "${short[@]}" --out "$here/genres-full.json" \
  --source package:minilm-l6 --source "package:efficientnet-lite0?size=160"
transferscope confirm "$here/clothes-ranking.json" "${short[@]}" --out "$here/clothes-full.json" \
  --source "package:efficientnet-lite0?size=64" --source "package:mobilenet-v2?size=64" --source package:minilm-l6

transferscope evaluate "$here"/*-ranking.json "$here"/*-linear_probe.json --out "$here/evaluation.json"
transferscope report "$here"/*-ranking.json "$here"/*-linear_probe.json "$here"/*-full.json "$here/evaluation.json" \
  --out "$here/index.html"
