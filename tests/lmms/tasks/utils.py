"""What the task files beside this need: rows are those that films.py wrote."""


def visual(doc):
    return [doc["video"]]


def text(doc, lmms_eval_specific_kwargs=None, previous_output=None, round_idx=None, previous_round_info=None):
    if not round_idx:
        return doc["question"]
    # Of the rounds: a second question about the same film, then the end.
    question = f"How many scenes are there? You said {previous_output[0]}"
    return [doc["video"]], question, round_idx == 2, previous_output, {"round": round_idx}


def choices(doc):
    return doc["options"]


def right(doc, results):
    return {"right": float(results[0].strip() == doc["answer"])}


def rounds(doc, results):
    return {"rounds": float(len(results[0]))}
