#!/bin/sh
# Written by recipes/papers/generate.py from src/longtake/reports/published.toml: do not edit.
# SlowFast-LLaVA: a command for each row of its tables. NOT RUN HERE.
# Take the lines that you want; README.md says what must be there and what is known to differ.
set -e

# sf_llava_7b/msvd_qa: SF-LLaVA 7B, msvd_qa. published, not run here: accuracy 79.1 %, score 4.1
# SlowFast-LLaVA, arXiv 2407.15841: open-ended video question answering
longtake eval msvd_qa --data data/msvd_qa --videos videos/msvd_qa --model liuhaotian/llava-v1.6-vicuna-7b --dtype float16 --sampler middles --layout slowfast --rope dynamic --frames 50 --prompt published --device cuda --out runs/papers/sf_llava_7b/msvd_qa
longtake eval judge runs/papers/sf_llava_7b/msvd_qa --endpoint https://api.openai.com/v1 --judge-model gpt-3.5-turbo-0125 --scoring released

# sf_llava_7b/msrvtt_qa: SF-LLaVA 7B, msrvtt_qa. published, not run here: accuracy 65.8 %, score 3.6
# SlowFast-LLaVA, arXiv 2407.15841: open-ended video question answering
longtake eval msrvtt_qa --data data/msrvtt_qa --videos videos/msrvtt_qa --model liuhaotian/llava-v1.6-vicuna-7b --dtype float16 --sampler middles --layout slowfast --rope dynamic --frames 50 --prompt published --device cuda --out runs/papers/sf_llava_7b/msrvtt_qa
longtake eval judge runs/papers/sf_llava_7b/msrvtt_qa --endpoint https://api.openai.com/v1 --judge-model gpt-3.5-turbo-0125 --scoring released

# sf_llava_7b/tgif_frameqa: SF-LLaVA 7B, tgif_frameqa. published, not run here: accuracy 78.7 %, score 4.2
# SlowFast-LLaVA, arXiv 2407.15841: open-ended video question answering
longtake eval tgif_frameqa --data data/tgif_frameqa --videos videos/tgif_frameqa --model liuhaotian/llava-v1.6-vicuna-7b --dtype float16 --sampler middles --layout slowfast --rope dynamic --frames 50 --prompt published --device cuda --out runs/papers/sf_llava_7b/tgif_frameqa
longtake eval judge runs/papers/sf_llava_7b/tgif_frameqa --endpoint https://api.openai.com/v1 --judge-model gpt-3.5-turbo-0125 --scoring released

# sf_llava_7b/activitynet_qa: SF-LLaVA 7B, activitynet_qa. published, not run here: accuracy 55.5 %, score 3.4
# SlowFast-LLaVA, arXiv 2407.15841: open-ended video question answering
longtake eval activitynet_qa --data data/activitynet_qa --videos videos/activitynet_qa --model liuhaotian/llava-v1.6-vicuna-7b --dtype float16 --sampler middles --layout slowfast --rope dynamic --frames 50 --prompt published --device cuda --out runs/papers/sf_llava_7b/activitynet_qa
longtake eval judge runs/papers/sf_llava_7b/activitynet_qa --endpoint https://api.openai.com/v1 --judge-model gpt-3.5-turbo-0125 --scoring released

# sf_llava_7b/next_qa: SF-LLaVA 7B, next_qa. published, not run here: accuracy 64.2 %
# SlowFast-LLaVA, arXiv 2407.15841: multiple-choice video question answering
longtake eval next_qa --data data/next_qa --videos videos/next_qa --model liuhaotian/llava-v1.6-vicuna-7b --dtype float16 --sampler middles --layout slowfast --rope dynamic --frames 50 --template slowfast_choice --prompt template --device cuda --out runs/papers/sf_llava_7b/next_qa

# sf_llava_7b/egoschema: SF-LLaVA 7B, egoschema. published, not run here: accuracy 47.2 %
# SlowFast-LLaVA, arXiv 2407.15841: multiple-choice video question answering
longtake eval egoschema --data data/egoschema --videos videos/egoschema --model liuhaotian/llava-v1.6-vicuna-7b --dtype float16 --sampler middles --layout slowfast --rope dynamic --frames 50 --template slowfast_choice --prompt template --device cuda --out runs/papers/sf_llava_7b/egoschema

# sf_llava_7b/intentqa: SF-LLaVA 7B, intentqa. published, not run here: accuracy 60.1 %
# SlowFast-LLaVA, arXiv 2407.15841: multiple-choice video question answering
longtake eval intentqa --data data/intentqa --videos videos/intentqa --model liuhaotian/llava-v1.6-vicuna-7b --dtype float16 --sampler middles --layout slowfast --rope dynamic --frames 50 --template slowfast_choice --prompt template --device cuda --out runs/papers/sf_llava_7b/intentqa

# sf_llava_7b/vcgbench: SF-LLaVA 7B, vcgbench. published, not run here: mean 3.04
# SlowFast-LLaVA, arXiv 2407.15841: Table 3, text generation
longtake eval vcgbench --data data/vcgbench --videos videos/vcgbench --model liuhaotian/llava-v1.6-vicuna-7b --dtype float16 --sampler middles --layout slowfast --rope dynamic --frames 50 --prompt published --device cuda --out runs/papers/sf_llava_7b/vcgbench
longtake eval judge runs/papers/sf_llava_7b/vcgbench --endpoint https://api.openai.com/v1 --judge-model gpt-3.5-turbo-0125 --scoring released

# ig_vlm_7b/msvd_qa: IG-VLM 7B, msvd_qa. published, not run here: accuracy 78.8 %, score 4.1
# SlowFast-LLaVA, arXiv 2407.15841: open-ended video question answering
longtake eval msvd_qa --data data/msvd_qa --videos videos/msvd_qa --model liuhaotian/llava-v1.6-vicuna-7b --dtype float16 --sampler middles --layout image_grid --frames 6 --prompt published --device cuda --out runs/papers/ig_vlm_7b/msvd_qa
longtake eval judge runs/papers/ig_vlm_7b/msvd_qa --endpoint https://api.openai.com/v1 --judge-model gpt-3.5-turbo-0125 --scoring released

# ig_vlm_7b/msrvtt_qa: IG-VLM 7B, msrvtt_qa. published, not run here: accuracy 63.7 %, score 3.5
# SlowFast-LLaVA, arXiv 2407.15841: open-ended video question answering
longtake eval msrvtt_qa --data data/msrvtt_qa --videos videos/msrvtt_qa --model liuhaotian/llava-v1.6-vicuna-7b --dtype float16 --sampler middles --layout image_grid --frames 6 --prompt published --device cuda --out runs/papers/ig_vlm_7b/msrvtt_qa
longtake eval judge runs/papers/ig_vlm_7b/msrvtt_qa --endpoint https://api.openai.com/v1 --judge-model gpt-3.5-turbo-0125 --scoring released

# ig_vlm_7b/tgif_frameqa: IG-VLM 7B, tgif_frameqa. published, not run here: accuracy 73.0 %, score 4.0
# SlowFast-LLaVA, arXiv 2407.15841: open-ended video question answering
longtake eval tgif_frameqa --data data/tgif_frameqa --videos videos/tgif_frameqa --model liuhaotian/llava-v1.6-vicuna-7b --dtype float16 --sampler middles --layout image_grid --frames 6 --prompt published --device cuda --out runs/papers/ig_vlm_7b/tgif_frameqa
longtake eval judge runs/papers/ig_vlm_7b/tgif_frameqa --endpoint https://api.openai.com/v1 --judge-model gpt-3.5-turbo-0125 --scoring released

# ig_vlm_7b/activitynet_qa: IG-VLM 7B, activitynet_qa. published, not run here: accuracy 54.3 %, score 3.4
# SlowFast-LLaVA, arXiv 2407.15841: open-ended video question answering
longtake eval activitynet_qa --data data/activitynet_qa --videos videos/activitynet_qa --model liuhaotian/llava-v1.6-vicuna-7b --dtype float16 --sampler middles --layout image_grid --frames 6 --prompt published --device cuda --out runs/papers/ig_vlm_7b/activitynet_qa
longtake eval judge runs/papers/ig_vlm_7b/activitynet_qa --endpoint https://api.openai.com/v1 --judge-model gpt-3.5-turbo-0125 --scoring released

# ig_vlm_7b/next_qa: IG-VLM 7B, next_qa. published, not run here: accuracy 63.1 %
# SlowFast-LLaVA, arXiv 2407.15841: multiple-choice video question answering
longtake eval next_qa --data data/next_qa --videos videos/next_qa --model liuhaotian/llava-v1.6-vicuna-7b --dtype float16 --sampler middles --layout image_grid --frames 6 --template slowfast_choice --prompt template --device cuda --out runs/papers/ig_vlm_7b/next_qa

# ig_vlm_7b/egoschema: IG-VLM 7B, egoschema. published, not run here: accuracy 35.8 %
# SlowFast-LLaVA, arXiv 2407.15841: multiple-choice video question answering
longtake eval egoschema --data data/egoschema --videos videos/egoschema --model liuhaotian/llava-v1.6-vicuna-7b --dtype float16 --sampler middles --layout image_grid --frames 6 --template slowfast_choice --prompt template --device cuda --out runs/papers/ig_vlm_7b/egoschema

# ig_vlm_7b/intentqa: IG-VLM 7B, intentqa. published, not run here: accuracy 60.3 %
# SlowFast-LLaVA, arXiv 2407.15841: multiple-choice video question answering
longtake eval intentqa --data data/intentqa --videos videos/intentqa --model liuhaotian/llava-v1.6-vicuna-7b --dtype float16 --sampler middles --layout image_grid --frames 6 --template slowfast_choice --prompt template --device cuda --out runs/papers/ig_vlm_7b/intentqa

# ig_vlm_7b/vcgbench: IG-VLM 7B, vcgbench. published, not run here: mean 3.03
# SlowFast-LLaVA, arXiv 2407.15841: Table 3, text generation
longtake eval vcgbench --data data/vcgbench --videos videos/vcgbench --model liuhaotian/llava-v1.6-vicuna-7b --dtype float16 --sampler middles --layout image_grid --frames 6 --prompt published --device cuda --out runs/papers/ig_vlm_7b/vcgbench
longtake eval judge runs/papers/ig_vlm_7b/vcgbench --endpoint https://api.openai.com/v1 --judge-model gpt-3.5-turbo-0125 --scoring released

# sf_llava_34b/msvd_qa: SF-LLaVA 34B, msvd_qa. published, not run here: accuracy 79.9 %, score 4.1
# SlowFast-LLaVA, arXiv 2407.15841: open-ended video question answering
longtake eval msvd_qa --data data/msvd_qa --videos videos/msvd_qa --model liuhaotian/llava-v1.6-34b --dtype float16 --sampler middles --layout slowfast --rope dynamic --frames 50 --prompt published --device cuda --out runs/papers/sf_llava_34b/msvd_qa
longtake eval judge runs/papers/sf_llava_34b/msvd_qa --endpoint https://api.openai.com/v1 --judge-model gpt-3.5-turbo-0125 --scoring released

# sf_llava_34b/msrvtt_qa: SF-LLaVA 34B, msrvtt_qa. published, not run here: accuracy 67.4 %, score 3.7
# SlowFast-LLaVA, arXiv 2407.15841: open-ended video question answering
longtake eval msrvtt_qa --data data/msrvtt_qa --videos videos/msrvtt_qa --model liuhaotian/llava-v1.6-34b --dtype float16 --sampler middles --layout slowfast --rope dynamic --frames 50 --prompt published --device cuda --out runs/papers/sf_llava_34b/msrvtt_qa
longtake eval judge runs/papers/sf_llava_34b/msrvtt_qa --endpoint https://api.openai.com/v1 --judge-model gpt-3.5-turbo-0125 --scoring released

# sf_llava_34b/tgif_frameqa: SF-LLaVA 34B, tgif_frameqa. published, not run here: accuracy 80.6 %, score 4.3
# SlowFast-LLaVA, arXiv 2407.15841: open-ended video question answering
longtake eval tgif_frameqa --data data/tgif_frameqa --videos videos/tgif_frameqa --model liuhaotian/llava-v1.6-34b --dtype float16 --sampler middles --layout slowfast --rope dynamic --frames 50 --prompt published --device cuda --out runs/papers/sf_llava_34b/tgif_frameqa
longtake eval judge runs/papers/sf_llava_34b/tgif_frameqa --endpoint https://api.openai.com/v1 --judge-model gpt-3.5-turbo-0125 --scoring released

# sf_llava_34b/activitynet_qa: SF-LLaVA 34B, activitynet_qa. published, not run here: accuracy 59.2 %, score 3.5
# SlowFast-LLaVA, arXiv 2407.15841: open-ended video question answering
longtake eval activitynet_qa --data data/activitynet_qa --videos videos/activitynet_qa --model liuhaotian/llava-v1.6-34b --dtype float16 --sampler middles --layout slowfast --rope dynamic --frames 50 --prompt published --device cuda --out runs/papers/sf_llava_34b/activitynet_qa
longtake eval judge runs/papers/sf_llava_34b/activitynet_qa --endpoint https://api.openai.com/v1 --judge-model gpt-3.5-turbo-0125 --scoring released

# sf_llava_34b/next_qa: SF-LLaVA 34B, next_qa. published, not run here: accuracy 72.0 %
# SlowFast-LLaVA, arXiv 2407.15841: multiple-choice video question answering
longtake eval next_qa --data data/next_qa --videos videos/next_qa --model liuhaotian/llava-v1.6-34b --dtype float16 --sampler middles --layout slowfast --rope dynamic --frames 50 --template slowfast_choice_yi --prompt template --device cuda --out runs/papers/sf_llava_34b/next_qa

# sf_llava_34b/egoschema: SF-LLaVA 34B, egoschema. published, not run here: accuracy 55.8 %
# SlowFast-LLaVA, arXiv 2407.15841: multiple-choice video question answering
longtake eval egoschema --data data/egoschema --videos videos/egoschema --model liuhaotian/llava-v1.6-34b --dtype float16 --sampler middles --layout slowfast --rope dynamic --frames 50 --template slowfast_choice_yi --prompt template --device cuda --out runs/papers/sf_llava_34b/egoschema

# sf_llava_34b/intentqa: SF-LLaVA 34B, intentqa. published, not run here: accuracy 66.5 %
# SlowFast-LLaVA, arXiv 2407.15841: multiple-choice video question answering
longtake eval intentqa --data data/intentqa --videos videos/intentqa --model liuhaotian/llava-v1.6-34b --dtype float16 --sampler middles --layout slowfast --rope dynamic --frames 50 --template slowfast_choice_yi --prompt template --device cuda --out runs/papers/sf_llava_34b/intentqa

# sf_llava_34b/vcgbench: SF-LLaVA 34B, vcgbench. published, not run here: mean 3.32
# SlowFast-LLaVA, arXiv 2407.15841: Table 3, text generation
longtake eval vcgbench --data data/vcgbench --videos videos/vcgbench --model liuhaotian/llava-v1.6-34b --dtype float16 --sampler middles --layout slowfast --rope dynamic --frames 50 --prompt published --device cuda --out runs/papers/sf_llava_34b/vcgbench
longtake eval judge runs/papers/sf_llava_34b/vcgbench --endpoint https://api.openai.com/v1 --judge-model gpt-3.5-turbo-0125 --scoring released

# ig_vlm_34b/msvd_qa: IG-VLM 34B, msvd_qa. published, not run here: accuracy 79.6 %, score 4.1
# SlowFast-LLaVA, arXiv 2407.15841: open-ended video question answering
longtake eval msvd_qa --data data/msvd_qa --videos videos/msvd_qa --model liuhaotian/llava-v1.6-34b --dtype float16 --sampler middles --layout image_grid --frames 6 --prompt published --device cuda --out runs/papers/ig_vlm_34b/msvd_qa
longtake eval judge runs/papers/ig_vlm_34b/msvd_qa --endpoint https://api.openai.com/v1 --judge-model gpt-3.5-turbo-0125 --scoring released

# ig_vlm_34b/msrvtt_qa: IG-VLM 34B, msrvtt_qa. published, not run here: accuracy 62.4 %, score 3.5
# SlowFast-LLaVA, arXiv 2407.15841: open-ended video question answering
longtake eval msrvtt_qa --data data/msrvtt_qa --videos videos/msrvtt_qa --model liuhaotian/llava-v1.6-34b --dtype float16 --sampler middles --layout image_grid --frames 6 --prompt published --device cuda --out runs/papers/ig_vlm_34b/msrvtt_qa
longtake eval judge runs/papers/ig_vlm_34b/msrvtt_qa --endpoint https://api.openai.com/v1 --judge-model gpt-3.5-turbo-0125 --scoring released

# ig_vlm_34b/tgif_frameqa: IG-VLM 34B, tgif_frameqa. published, not run here: accuracy 79.1 %, score 4.2
# SlowFast-LLaVA, arXiv 2407.15841: open-ended video question answering
longtake eval tgif_frameqa --data data/tgif_frameqa --videos videos/tgif_frameqa --model liuhaotian/llava-v1.6-34b --dtype float16 --sampler middles --layout image_grid --frames 6 --prompt published --device cuda --out runs/papers/ig_vlm_34b/tgif_frameqa
longtake eval judge runs/papers/ig_vlm_34b/tgif_frameqa --endpoint https://api.openai.com/v1 --judge-model gpt-3.5-turbo-0125 --scoring released

# ig_vlm_34b/activitynet_qa: IG-VLM 34B, activitynet_qa. published, not run here: accuracy 58.4 %, score 3.5
# SlowFast-LLaVA, arXiv 2407.15841: open-ended video question answering
longtake eval activitynet_qa --data data/activitynet_qa --videos videos/activitynet_qa --model liuhaotian/llava-v1.6-34b --dtype float16 --sampler middles --layout image_grid --frames 6 --prompt published --device cuda --out runs/papers/ig_vlm_34b/activitynet_qa
longtake eval judge runs/papers/ig_vlm_34b/activitynet_qa --endpoint https://api.openai.com/v1 --judge-model gpt-3.5-turbo-0125 --scoring released

# ig_vlm_34b/next_qa: IG-VLM 34B, next_qa. published, not run here: accuracy 70.9 %
# SlowFast-LLaVA, arXiv 2407.15841: multiple-choice video question answering
longtake eval next_qa --data data/next_qa --videos videos/next_qa --model liuhaotian/llava-v1.6-34b --dtype float16 --sampler middles --layout image_grid --frames 6 --template slowfast_choice_yi --prompt template --device cuda --out runs/papers/ig_vlm_34b/next_qa

# ig_vlm_34b/egoschema: IG-VLM 34B, egoschema. published, not run here: accuracy 53.6 %
# SlowFast-LLaVA, arXiv 2407.15841: multiple-choice video question answering
longtake eval egoschema --data data/egoschema --videos videos/egoschema --model liuhaotian/llava-v1.6-34b --dtype float16 --sampler middles --layout image_grid --frames 6 --template slowfast_choice_yi --prompt template --device cuda --out runs/papers/ig_vlm_34b/egoschema

# ig_vlm_34b/intentqa: IG-VLM 34B, intentqa. published, not run here: accuracy 65.3 %
# SlowFast-LLaVA, arXiv 2407.15841: multiple-choice video question answering
longtake eval intentqa --data data/intentqa --videos videos/intentqa --model liuhaotian/llava-v1.6-34b --dtype float16 --sampler middles --layout image_grid --frames 6 --template slowfast_choice_yi --prompt template --device cuda --out runs/papers/ig_vlm_34b/intentqa

# ig_vlm_34b/vcgbench: IG-VLM 34B, vcgbench. published, not run here: mean 3.03
# SlowFast-LLaVA, arXiv 2407.15841: Table 3, text generation
longtake eval vcgbench --data data/vcgbench --videos videos/vcgbench --model liuhaotian/llava-v1.6-34b --dtype float16 --sampler middles --layout image_grid --frames 6 --prompt published --device cuda --out runs/papers/ig_vlm_34b/vcgbench
longtake eval judge runs/papers/ig_vlm_34b/vcgbench --endpoint https://api.openai.com/v1 --judge-model gpt-3.5-turbo-0125 --scoring released

# fast_only/activitynet_qa: SF-LLaVA 7B, fast only, at equal tokens, activitynet_qa. published, not run here: accuracy 49.7 %
# SlowFast-LLaVA, arXiv 2407.15841: ablations of the two pathways, 7B
longtake eval activitynet_qa --data data/activitynet_qa --videos videos/activitynet_qa --model liuhaotian/llava-v1.6-vicuna-7b --dtype float16 --sampler middles --layout slowfast --rope dynamic --set layout.slow_frames=0 --frames 230 --prompt published --device cuda --out runs/papers/fast_only/activitynet_qa
longtake eval judge runs/papers/fast_only/activitynet_qa --endpoint https://api.openai.com/v1 --judge-model gpt-3.5-turbo-0125 --scoring released

# fast_only/egoschema: SF-LLaVA 7B, fast only, at equal tokens, egoschema. published, not run here: accuracy 37.0 %
# SlowFast-LLaVA, arXiv 2407.15841: ablations of the two pathways, 7B
longtake eval egoschema --data data/egoschema --videos videos/egoschema --model liuhaotian/llava-v1.6-vicuna-7b --dtype float16 --sampler middles --layout slowfast --rope dynamic --set layout.slow_frames=0 --frames 230 --template slowfast_choice --prompt template --device cuda --out runs/papers/fast_only/egoschema

# slow_only/activitynet_qa: SF-LLaVA 7B, slow only, 12 frames, activitynet_qa. published, not run here: accuracy 54.1 %
# SlowFast-LLaVA, arXiv 2407.15841: ablations of the two pathways, 7B
longtake eval activitynet_qa --data data/activitynet_qa --videos videos/activitynet_qa --model liuhaotian/llava-v1.6-vicuna-7b --dtype float16 --sampler middles --layout slowfast --rope dynamic --set layout.slow_frames=12 --set layout.fast_height=0 --set layout.fast_width=0 --frames 12 --prompt published --device cuda --out runs/papers/slow_only/activitynet_qa
longtake eval judge runs/papers/slow_only/activitynet_qa --endpoint https://api.openai.com/v1 --judge-model gpt-3.5-turbo-0125 --scoring released

# slow_only/egoschema: SF-LLaVA 7B, slow only, 12 frames, egoschema. published, not run here: accuracy 46.6 %
# SlowFast-LLaVA, arXiv 2407.15841: ablations of the two pathways, 7B
longtake eval egoschema --data data/egoschema --videos videos/egoschema --model liuhaotian/llava-v1.6-vicuna-7b --dtype float16 --sampler middles --layout slowfast --rope dynamic --set layout.slow_frames=12 --set layout.fast_height=0 --set layout.fast_width=0 --frames 12 --template slowfast_choice --prompt template --device cuda --out runs/papers/slow_only/egoschema

# slow_whole/activitynet_qa: SF-LLaVA 7B, slow 10 x 24 x 24, activitynet_qa. published, not run here: accuracy 54.0 %
# SlowFast-LLaVA, arXiv 2407.15841: ablations of the two pathways, 7B
longtake eval activitynet_qa --data data/activitynet_qa --videos videos/activitynet_qa --model liuhaotian/llava-v1.6-vicuna-7b --dtype float16 --sampler middles --layout slowfast --rope dynamic --set layout.slow_pool=none --frames 50 --prompt published --device cuda --out runs/papers/slow_whole/activitynet_qa
longtake eval judge runs/papers/slow_whole/activitynet_qa --endpoint https://api.openai.com/v1 --judge-model gpt-3.5-turbo-0125 --scoring released

# slow_whole/egoschema: SF-LLaVA 7B, slow 10 x 24 x 24, egoschema. published, not run here: accuracy 53.2 %
# SlowFast-LLaVA, arXiv 2407.15841: ablations of the two pathways, 7B
longtake eval egoschema --data data/egoschema --videos videos/egoschema --model liuhaotian/llava-v1.6-vicuna-7b --dtype float16 --sampler middles --layout slowfast --rope dynamic --set layout.slow_pool=none --frames 50 --template slowfast_choice --prompt template --device cuda --out runs/papers/slow_whole/egoschema

# fast_one/activitynet_qa: SF-LLaVA 7B, fast 1 x 1, activitynet_qa. published, not run here: accuracy 54.4 %
# SlowFast-LLaVA, arXiv 2407.15841: ablations of the two pathways, 7B
longtake eval activitynet_qa --data data/activitynet_qa --videos videos/activitynet_qa --model liuhaotian/llava-v1.6-vicuna-7b --dtype float16 --sampler middles --layout slowfast --rope dynamic --set layout.fast_height=1 --set layout.fast_width=1 --frames 50 --prompt published --device cuda --out runs/papers/fast_one/activitynet_qa
longtake eval judge runs/papers/fast_one/activitynet_qa --endpoint https://api.openai.com/v1 --judge-model gpt-3.5-turbo-0125 --scoring released

# fast_one/egoschema: SF-LLaVA 7B, fast 1 x 1, egoschema. published, not run here: accuracy 47.1 %
# SlowFast-LLaVA, arXiv 2407.15841: ablations of the two pathways, 7B
longtake eval egoschema --data data/egoschema --videos videos/egoschema --model liuhaotian/llava-v1.6-vicuna-7b --dtype float16 --sampler middles --layout slowfast --rope dynamic --set layout.fast_height=1 --set layout.fast_width=1 --frames 50 --template slowfast_choice --prompt template --device cuda --out runs/papers/fast_one/egoschema
