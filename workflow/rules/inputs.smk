"""Inputs that a function finds: weights of a step, and where imported ones are."""

from rankone.weights.import_plan import hub_revision
from rankone.weights.model_files import weight_files


def step_inputs(wildcards):
    """Checkpoint and factors of a step; nothing for the base."""
    if wildcards.run == "base":
        return {}
    factors = "results/decompose/{run}/step-{step}.factors.safetensors"
    return {
        "checkpoint": checkpoint(wildcards.run, wildcards.step),
        "factors": factors.format(**wildcards),
    }


def trained_weights(wildcards):
    """The weights of a step; nothing for the base."""
    if wildcards.run == "base":
        return {}
    return {"checkpoint": checkpoint(wildcards.run, wildcards.step)}


def previous(wildcards):
    """The checkpoint before, if local updates are asked for and there is one."""
    run, step = wildcards.run, int(wildcards.step)
    found = selection.previous_step(STUDY, RUNS[run], step)
    return {} if found is None else {"previous": checkpoint(run, found)}


def source(wildcards):
    """Where the weights of an imported step come from."""
    return RUNS[wildcards.run].sources[int(wildcards.step)]


def source_folder(wildcards):
    """The folder that holds an imported step: the user's, or the one downloaded to."""
    if hub_revision(found := source(wildcards)):
        return f"results/train/{wildcards.run}/downloads/step-{wildcards.step}"
    return found


def source_files(wildcards):
    """The weights of an imported step; of one on a hub its folder."""
    folder = source_folder(wildcards)
    return folder if hub_revision(source(wildcards)) else weight_files(Path(folder))


def rules_of_claims(wildcards):
    """What each calibration depends on: any change of it makes the rule run again."""
    from rankone.claims.calibration import identities

    return identities()
