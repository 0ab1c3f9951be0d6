#!/usr/bin/env bash
# nano from nothing: an empty folder in, the shipped weights with their figures out. Seeds are fixed.
#
#   recipes/nano.sh [OUT] [FILM...]
#
# OUT    a folder, runs/nano by default. Stop and start again as you like: everything goes on where it was.
# FILM   films that needles are hidden in, every frame of them; by default the clip that the tests bring. The card's
#        figures are from bigbuckbunny_480p_30s.mp4, baseball.mp4, basketball.mp4, nasa_two_streams.mp4 and av1.mkv.
# From the environment: SEED (0); FRAMES of the first two sweeps (200:3000:200); TRIALS (20 needles a cell in most
# sweeps); CONTROLS (a,b,c; some of them, or none). Another seed: SEED=1 FRAMES=200,600,1200,2000,3000 CONTROLS=c
#
# Training takes an hour and a quarter on two cores (25 minutes more where short films are read twice, see
# train/base.py), and then the model is in OUT/model. Measuring it took 35 minutes, the controls half an hour and 12
# minutes more, as far as other work beside them lets one tell. Figures land in OUT/model/figures.json and in the card
# OUT/model/README.md, by this script alone.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
out=${1:-runs/nano}
shift || true
films=("$@")
[ ${#films[@]} -gt 0 ] || films=("$here/tests/media/bigbuckbunny_720p_5s.mp4")
seed=${SEED:-0}
frames=${FRAMES:-200:3000:200}
trials=${TRIALS:-20}
controls=${CONTROLS-a,b,c}
longtake=${LONGTAKE:-longtake}
export OMP_NUM_THREADS=1 # two sweeps side by side use two cores better than one with two threads
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT

sweep() { # NAME MODEL OPTIONS...: one sweep into OUT/niah/NAME
  local name=$1 model=$2
  shift 2
  "$longtake" niah "${films[@]}" --every-frame --model "$out/$model" --output "$out/niah/$name" --quiet "$@"
}

both() { # NAME MODEL OPTIONS...: film alone, and film half of whose frames show other scenes, side by side
  local name=$1
  sweep "$name, film" "${@:2}" &
  local film=$!
  sweep "$name, half symbols" "${@:2}" --distractors 0.5
  wait "$film"
}

"$longtake" train nano --output "$out" --seed "$seed"

both "nano" model --frames "$frames" --trials "$trials"
"$longtake" niah world --text --tokens 800:12000:1600 --trials 10 --model "$out/model" --quiet \
  --output "$out/niah/nano, words alone (tokens)"
both "nano, an hour" model --frames 3600 --trials "$trials"
for task in several order count clip; do
  sweep "nano, $task" model --task $task --frames 32,200,1000 --depths 0:1:0.5 --trials "$trials"
done
both "nano, slowfast" model --layout slowfast --set layout.fast_height=2 --set layout.fast_width=2 --frames 200,600,1200 --trials 10

# The same ten needles as elsewhere, among symbols that are drawn beside these ten; and at slowfast's numbers of tokens.
both "nano, ten needles" model --frames 200,600,1200,2000,3000 --trials 10
both "nano, tokens as slowfast" model --frames 220,620,1220 --trials 10

if [ -n "$controls" ]; then
  "$longtake" train nano --output "$out" --seed "$seed" --controls "$controls"
  for control in ${controls//,/ }; do
    both "control $control" control_$control --frames 200,600,1200,2000,3000 --trials 10
  done
fi

"$longtake" train nano --output "$out" --seed "$seed" --card
