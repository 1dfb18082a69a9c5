"""What is taken, checked and said before and after the jobs of a study."""

import atexit
from contextlib import ExitStack

from snakemake.settings.enums import Quietness

from rankone.data.hub import check_pinned
from rankone.runtime.leases import hold
from rankone.runtime.slurm import end_orphans
from rankone.study.disk import check_room


def own_folder():
    """Keep other Snakemakes out of the folder, and end jobs that a killed one left."""
    held = ExitStack()
    held.enter_context(
        hold(".snakemake/rankone.lease", f"The folder {Path.cwd()}", wait=False)
    )
    atexit.register(held.close)
    prefix = getattr(workflow.executor_settings, "jobname_prefix", None)
    if prefix:
        end_orphans(Path(workflow.workdir_init), prefix)


def print_plan():
    """What the planned jobs are about to do, and what it costs."""
    jobs = workflow.dag.needrun_jobs(exclude_finished=False)
    planned = ((job.rule.name, dict(job.wildcards.items())) for job in jobs)
    work = plan.workload(STUDY, RUNS, planned, COSTS)
    print(plan.plan_text(STUDY, RUNS, COSTS, work))


def print_after_dry_run():
    """The plan, once a dry run has listed its jobs; nothing in any other process."""
    silent = {Quietness.PROGRESS, Quietness.ALL}
    quiet = silent.intersection(workflow.output_settings.quiet or ())
    if workflow.is_main_process and workflow.dryrun and workflow.dag and not quiet:
        print_plan()


# Handlers such as onstart do not run in a dry run.
atexit.register(print_after_dry_run)
