from __future__ import annotations

import re

from gateway.core.roles import Role
from gateway.web.admin.description import described
from tests.web.dashboard.visitor import Site, words


def test_the_page_shows_every_operation_to_whoever_is_signed_in(site: Site) -> None:
    for visitor in (site.visitor(), site.visitor(Role.OWNER, "blue")):
        page = visitor.get("/api-docs")
        for path, item in described()["paths"].items():
            assert path in page
            for operation in item.values():
                assert f'id="{operation["operationId"]}"' in page
    assert "faregate token create" in page
    assert "OpenAPI 3.1" in words(page)


def test_its_links_lead_to_what_is_on_it(site: Site) -> None:
    page = site.visitor().get("/api-docs")
    places = set(re.findall(r'id="([^"]+)"', page))
    links = set(re.findall(r'href="#([^"]+)"', page))
    assert links <= places
    assert len(links) > 40
    assert len(re.findall(r'id="([^"]+)"', page)) == len(places), "two things have one id"


def test_it_has_neither_scripts_nor_styles_of_its_own(site: Site) -> None:
    page = site.visitor().get("/api-docs")
    assert "style=" not in page
    assert "onclick" not in page
    assert "<style" not in page


def test_nobody_reads_it_without_signing_in(site: Site) -> None:
    answer = site.app.test_client().get("/api-docs")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in?next=%2Fapi-docs")
