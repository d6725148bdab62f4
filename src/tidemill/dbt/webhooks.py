"""Webhooks of dbt Cloud: what they tell is written down at once, and seen to later, so that nothing of it is lost."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import secrets as random

from tidemill.dbt import cloud
from tidemill.dbt.cloud import Cloud
from tidemill.dbt.runs import DbtRun
from tidemill.errors import NotFoundError, RetryableError, TidemillError, UnavailableError
from tidemill.outbound.client import Http
from tidemill.outbound.guard import Guard
from tidemill.settings import Settings
from tidemill.store.dbt_cloud_runs import KEPT, CloudRun, DbtCloudRuns
from tidemill.store.dbt_projects import DbtProject, DbtProjects
from tidemill.store.secrets import Secrets

#: What is compared with if there is no secret: so that it takes as long.
_NO_SECRET = random.token_hex(16)
#: dbt Cloud is asked that often, after pauses that double, before it is gone on without what the run did.
_MOST_TRIES, _FIRST_PAUSE = 6, dt.timedelta(minutes=1)
_SHOWN = 20


@dataclasses.dataclass(frozen=True)
class Results:
    """What a run did; `run` is None if that is not known, and `note` says why."""

    run: DbtRun | None
    note: str


class Webhooks:
    """See the module."""

    def __init__(self, settings: Settings, projects: DbtProjects, runs: DbtCloudRuns, secrets: Secrets) -> None:
        self._settings, self._projects, self._runs, self._secrets = settings, projects, runs, secrets

    def receive(self, name: str, body: bytes, signature: str) -> bool | None:
        """Write down what a webhook tells of a project; whether that was news. None: nobody is believed. Of a project
        that is not there, or has no webhook, no more is said than of a wrong signature.

        Raises
        ------
        ConfigError
            It is no event of dbt Cloud, though it is signed.
        """
        try:
            project: DbtProject | None = self._projects.get(name)
        except NotFoundError:
            project = None
        secret = self._hidden(project).get("webhook_secret") if project else None
        signed = cloud.is_signed(body, signature, secret or _NO_SECRET)
        if project is None or secret is None or not signed:
            return None
        found = cloud.event(body)
        if found is None or (found.at is not None and found.at < dt.datetime.now(dt.UTC) - KEPT):
            return False
        data = found.data
        note = "" if found.succeeded else "The run has not succeeded, so nothing was triggered."
        job, status = data.job_name.replace("\0", "")[:500], data.run_status.replace("\0", "")[:100]
        return self._runs.add(
            project.id, str(found.account_id), str(data.run_id), job=job, status=status or "unknown", note=note
        )

    def take(self) -> CloudRun | None:
        """A run about which something is to be done, for whoever asks first."""
        return self._runs.take_due()

    def project(self, run: CloudRun) -> str:
        """Name of its project."""
        return self._projects.by_id(run.project_id).name

    def results(self, run: CloudRun) -> Results | None:
        """What a run did, asked of dbt Cloud if there is a token for that. None: dbt Cloud cannot say so now, and the
        run is to be seen to later."""
        project = self._projects.by_id(run.project_id)
        host, token = project.spec.get("cloud_host"), self._hidden(project).get("cloud_token")
        if not host or not token:
            return Results(None, "What it built is not known, for there is no token of dbt Cloud.")
        http = Http(Guard(self._settings.outbound_allow.split(",")))
        try:
            found = Cloud(http, host, token).results(run.account, run.run)
        except (UnavailableError, RetryableError) as error:
            if run.tries < _MOST_TRIES:
                pause = _FIRST_PAUSE * 2 ** (run.tries - 1)
                self._runs.later(run.id, pause, run.syncs, f"Asked again later: {error.message}")
                return None
            return Results(None, f"What it built is not known: {error.message}")
        except TidemillError as error:
            return Results(None, f"What it built is not known: {error.message} {error.hint}")
        finally:
            http.close()
        return Results(found, "" if found else "What it built is not known: it wrote no run_results.json.")

    def later(self, run: CloudRun, syncs: list[dict[str, object]], note: str) -> None:
        """There is more to do about it, after a pause. `syncs`: those about which it is done."""
        self._runs.later(run.id, _FIRST_PAUSE, syncs, note)

    def finish(self, run: CloudRun, syncs: list[dict[str, object]], note: str) -> None:
        """There is no more to do about it."""
        self._runs.finish(run.id, syncs, note)

    def told(self, name: str, limit: int = _SHOWN) -> list[CloudRun]:
        """The last runs of a project that were told of, the newest first."""
        return self._runs.of_project(self._projects.get(name).id, limit)

    def _hidden(self, project: DbtProject) -> dict[str, str]:
        found: dict[str, str] = json.loads(self._secrets.decrypt(project.secret)) if project.secret else {}
        return found
