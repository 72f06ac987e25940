"""`tiers device enroll REQUEST…`: sign the requests that devices made, and write what each shall take in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.authority import DEFAULT_AUTHORITY, AuthorityOption, day_of, utc_now
from toolkit.cli.present import JsonOption, Output, OutputOption, Table, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of
from toolkit.errors import UsageError

RequestsArgument = Annotated[
    list[Path], typer.Argument(metavar="REQUEST...", help="Files of tiers-edge enroll (.csr).")
]
KeyringOption = Annotated[Path, typer.Option("--keyring", help="Whose seals the devices shall obey.")]
ValidOption = Annotated[
    str, typer.Option("--valid", metavar="TIME", help="How long certificates hold, such as 365d.")
]
BrokerCaOption = Annotated[
    Path | None,
    typer.Option(
        "--broker-ca", metavar="FILE", help="Authority of the broker's certificate [default: ours]."
    ),
]


def enroll(
    requests: RequestsArgument,
    keyring: KeyringOption,
    name: Annotated[str, typer.Option("--name", help="Whom the only request has to name.")] = "",
    folder: AuthorityOption = DEFAULT_AUTHORITY,
    answers: Annotated[Path, typer.Option("--answers", metavar="DIR", help="Where answers go.")] = Path(
        "answers"
    ),
    valid: ValidOption = "730d",
    broker_ca: BrokerCaOption = None,
    replace: Annotated[bool, typer.Option("--replace", help="Let in with another key than before.")] = False,
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Let devices in: sign their requests, all or none. Repeating it gives the same certificates."""
    from toolkit.fleet.authority import CERTIFICATE_FILE
    from toolkit.fleet.enroll import Policy, days_of, read_authority_of_broker
    from toolkit.fleet.enroll import enroll as enroll_all
    from toolkit.registry.keys import read_keyring
    from toolkit.topology.load import load

    if name and len(requests) > 1:
        raise UsageError("--name is for one request", hint="leave it out, or enroll one device at a time")
    topology = load(files, variables_of(assignments)).topology
    ca = read_authority_of_broker(broker_ca or folder / CERTIFICATE_FILE)
    policy = Policy(read_keyring(keyring), ca, days_of(valid), replace)
    found = enroll_all(topology, folder, requests, answers, policy, utc_now(), name=name)
    rows = [
        (
            each.name,
            "signed" if each.signed else "as before",
            day_of(each.not_after),
            each.answer_file or each.certificate_file,
        )
        for each in found
    ]
    show(found, Table(("name", "", "until", "answer"), rows), output, as_json=as_json)
