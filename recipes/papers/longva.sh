#!/bin/sh
# Written by recipes/papers/generate.py from src/longtake/reports/published.toml: do not edit.
# LongVA: a command for each row of its tables. NOT RUN HERE.
# Take the lines that you want; README.md says what must be there and what is known to differ.
set -e

# longva/vniah: LongVA-7B, vniah. published, not run here: forced 90.9 %
# LongVA, arXiv 2406.16852: V-NIAH, 200 to 3,000 frames
longtake niah videos/vniah/haystack.mp4 --needles data/vniah --frames 200:3000:200 --depths 0:1:0.2 --model lmms-lab/LongVA-7B --dtype bfloat16 --layout grid --device cuda --output runs/papers/longva/vniah/niah
longtake eval vniah runs/papers/longva/vniah/niah --out runs/papers/longva/vniah

# llava_next_video_32k/vniah: LLaVA-NeXT-Video-7B-32K, vniah. published, not run here: forced 14.7 %
# LongVA, arXiv 2406.16852: V-NIAH, 200 to 3,000 frames
longtake niah videos/vniah/haystack.mp4 --needles data/vniah --frames 200:3000:200 --depths 0:1:0.2 --model llava-hf/LLaVA-NeXT-Video-7B-32K-hf --dtype bfloat16 --device cuda --output runs/papers/llava_next_video_32k/vniah/niah
longtake eval vniah runs/papers/llava_next_video_32k/vniah/niah --out runs/papers/llava_next_video_32k/vniah

# llava_next_video_theta/vniah: LLaVA-NeXT-Video-7B-32K, theta 1e8, no training, vniah. published, not run here: forced 28.4 %
# LongVA, arXiv 2406.16852: V-NIAH, 200 to 3,000 frames
longtake niah videos/vniah/haystack.mp4 --needles data/vniah --frames 200:3000:200 --depths 0:1:0.2 --model llava-hf/LLaVA-NeXT-Video-7B-32K-hf --dtype bfloat16 --rope theta --set rope.theta=1e8 --device cuda --output runs/papers/llava_next_video_theta/vniah/niah
longtake eval vniah runs/papers/llava_next_video_theta/vniah/niah --out runs/papers/llava_next_video_theta/vniah

# longva/textneedle/0: LongVA-7B, 0 distractors, textneedle. published, not run here: forced 99.8 %
# LongVA, arXiv 2406.16852: needle in text, 32K to 512K tokens
longtake niah data/textneedle/haystack.txt --text --tokens 32000:512000:32000 --distractors 0 --model lmms-lab/LongVA-7B --dtype bfloat16 --device cuda --output runs/papers/longva/textneedle/0/niah
longtake eval textneedle runs/papers/longva/textneedle/0/niah --out runs/papers/longva/textneedle/0

# longva/textneedle/3: LongVA-7B, 3 distractors, textneedle. published, not run here: forced 93.5 %
# LongVA, arXiv 2406.16852: needle in text, 32K to 512K tokens
longtake niah data/textneedle/haystack.txt --text --tokens 32000:512000:32000 --distractors 3 --model lmms-lab/LongVA-7B --dtype bfloat16 --device cuda --output runs/papers/longva/textneedle/3/niah
longtake eval textneedle runs/papers/longva/textneedle/3/niah --out runs/papers/longva/textneedle/3

# longva/textneedle/5: LongVA-7B, 5 distractors, textneedle. published, not run here: forced 92.0 %
# LongVA, arXiv 2406.16852: needle in text, 32K to 512K tokens
longtake niah data/textneedle/haystack.txt --text --tokens 32000:512000:32000 --distractors 5 --model lmms-lab/LongVA-7B --dtype bfloat16 --device cuda --output runs/papers/longva/textneedle/5/niah
longtake eval textneedle runs/papers/longva/textneedle/5/niah --out runs/papers/longva/textneedle/5

# longva/video_mme/8: LongVA-7B, 8 frames, video_mme. published, not run here: accuracy 47.9 %, length: short 55.1 %, length: medium 46.3 %, length: long 42.1 %
# LongVA, arXiv 2406.16852: Video-MME by number of frames
longtake eval video_mme --data data/video_mme --videos videos/video_mme --model lmms-lab/LongVA-7B --dtype bfloat16 --sampler uniform --layout grid --frames 8 --prompt published --device cuda --out runs/papers/longva/video_mme/8

# longva/video_mme/32: LongVA-7B, 32 frames, video_mme. published, not run here: accuracy 51.8 %, length: short 61.1 %, length: medium 48.8 %, length: long 45.4 %
# LongVA, arXiv 2406.16852: Video-MME by number of frames
longtake eval video_mme --data data/video_mme --videos videos/video_mme --model lmms-lab/LongVA-7B --dtype bfloat16 --sampler uniform --layout grid --frames 32 --prompt published --device cuda --out runs/papers/longva/video_mme/32

# longva/video_mme/128: LongVA-7B, 128 frames, video_mme. published, not run here: accuracy 52.6 %, length: short 61.1 %, length: medium 50.4 %, length: long 46.2 %
# LongVA, arXiv 2406.16852: Video-MME by number of frames
longtake eval video_mme --data data/video_mme --videos videos/video_mme --model lmms-lab/LongVA-7B --dtype bfloat16 --sampler uniform --layout grid --frames 128 --prompt published --device cuda --out runs/papers/longva/video_mme/128

# longva/video_mme/384: LongVA-7B, 384 frames, video_mme. published, not run here: accuracy 51.8 %, length: short 60.3 %, length: medium 48.9 %, length: long 46.1 %
# LongVA, arXiv 2406.16852: Video-MME by number of frames
longtake eval video_mme --data data/video_mme --videos videos/video_mme --model lmms-lab/LongVA-7B --dtype bfloat16 --sampler uniform --layout grid --frames 384 --prompt published --device cuda --out runs/papers/longva/video_mme/384

# longva/mlvu: LongVA-7B, mlvu. published, not run here: M-Avg 56.3 %, G-Avg 4.33
# LongVA, arXiv 2406.16852: MLVU, dev
longtake eval mlvu --data data/mlvu --videos videos/mlvu --model lmms-lab/LongVA-7B --dtype bfloat16 --sampler uniform --layout grid --frames 128 --prompt published --device cuda --out runs/papers/longva/mlvu
longtake eval judge runs/papers/longva/mlvu --endpoint https://api.openai.com/v1 --judge-model JUDGE --scoring released
