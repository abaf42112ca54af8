"""Looks and guides against their rows: there where a ledger is named, and allowing what the batch does with them."""

from collections.abc import Mapping

from ancestra_farm.batch.checks.findings import Findings
from ancestra_farm.batch.checks.materials import Surroundings
from ancestra_farm.batch.document import Document, read_file
from ancestra_farm.batch.load import accepted
from ancestra_farm.batch.materials import Material, local_file, named_in, uses_of
from ancestra_farm.batch.problems import BatchRefused, DocumentPath
from ancestra_farm.batch.rights import Rights, RightsLedger, refusals_of
from ancestra_farm.batch.urls import check_source_url


def check_rights(
    findings: Findings, around: Surroundings, found: Mapping[DocumentPath, Material]
) -> dict[DocumentPath, Rights]:
    """The row of everything the batch names, by its place: what stands there, or else the ledger's for that digest.

    Where there are both, both have to allow it.

    ``found``: the files. Whether a row is needed where no ledger is named is said by the show's policy, at submit.
    """
    batch = findings.batch
    ledger = _rows(findings, around) if batch.ledger is not None and findings.located.is_sound(("ledger",)) else None
    rows: dict[DocumentPath, Rights] = {}
    for named in named_in(batch):
        material = found.get(named.path)
        if material is None:
            continue  # told of already
        own, kept = named.entry.rights, None if ledger is None else ledger.get(material.digest)
        if own is None and kept is None and ledger is not None:
            message = f"{named.said} has no row in {batch.ledger}; its digest is {material.digest}"
            findings.add((*named.path, "source"), message, "write one: owner, consent, licence, scope")
        if (row := own or kept) is not None:
            rows[named.path] = row
        # What the ledger forbids is not allowed by a row that stands in the batch.
        uses = uses_of(batch, named)
        told = dict.fromkeys(
            (why, hint)
            for one in (own, kept)
            if one is not None
            for _, why, hint in refusals_of(one.consent, one.scope, uses, batch.show, around.today)
        )
        for why, hint in told:
            findings.add((*named.path, "source"), f"{named.said} may not be used: {why}", hint)
    return rows


def _rows(findings: Findings, around: Surroundings) -> dict[str, Rights] | None:
    """The rows of the ledger, by digest; None where it cannot be read, which is told."""
    source = findings.batch.ledger or ""
    try:
        file = local_file(check_source_url(source), around.beside)
    except ValueError as error:
        findings.add(("ledger",), str(error))
        return None
    if file is None:
        findings.add(("ledger",), "a ledger lies on this machine", "a path beside the batch file")
        return None
    if not file.is_file():
        findings.add(("ledger",), f"there is no such file: {file}", "a path starts beside the batch file")
        return None
    try:
        document = read_file(file)
        ledger = accepted(document, RightsLedger)
    except BatchRefused as refused:
        findings.problems.extend(refused.problems)
        return None
    return _by_digest(findings, document, ledger)


def _by_digest(findings: Findings, document: Document, ledger: RightsLedger) -> dict[str, Rights]:
    rows: dict[str, Rights] = {}
    for index, row in enumerate(ledger.materials):
        if row.sha256 in rows:
            message = "the same file has a row above"
            findings.problems.append(document.problem(("materials", index, "sha256"), message, "a file has one row"))
        rows[row.sha256] = row.rights
    return rows
