"""The pages of personas, on the service's own API: texts, documents, and a search to try."""

import os

import pytest

from project.accounts.models import Role, User
from sessions.knowledge import preparing
from sessions.knowledge.models import KnowledgeDocument, Passage
from sessions.models import Persona
from tests.browser.conftest import PASSWORD
from tests.browser.test_pages import CONTRAST
from tests.support import pdfs
from tests.support.cast import broker, objects  # noqa: F401 - fixtures

SIZES = [(1440, 900), (390, 844), (320, 640)]
HANDBOOK = (
    b"# Guarantee\n\nThe guarantee lasts for three years.\n\n# Prices\n\nA service costs sixty euros.\n"
)


@pytest.fixture
def signed_in(live_server, settings, tab, objects, broker):  # noqa: F811
    settings.ALLOWED_HOSTS = ["*"]

    def open_page(path, role=Role.CUSTOMER, **options):
        user = User.objects.create_user("ada@example.com", PASSWORD, role=role)
        made = tab(**options)
        page = made.page
        page.goto(f"{live_server.url}/login/?next={path}")
        page.get_by_label("E-mail address").fill("ada@example.com")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{live_server.url}{path}")
        return made, user

    return open_page


def prepared(page) -> None:
    for document in KnowledgeDocument.objects.filter(status="preparing"):
        preparing.prepare(document.pk)
    page.locator(".document .tag.busy").first.wait_for(state="detached")


def sound(made) -> None:
    assert made.overflow() <= 0
    assert made.page.evaluate(CONTRAST) == []
    assert made.unnamed() == []
    assert made.broken_rules() == []


def test_a_persona_is_made_taught_and_asked(signed_in, tmp_path) -> None:
    made, user = signed_in("/personas/new")
    page = made.page
    page.get_by_label("Name", exact=True).fill("Shop assistant")
    page.get_by_label("Greeting").fill("Welcome!")
    page.get_by_label("Hand over to a human").check()
    page.get_by_label("Topics it does not talk about").fill("Medical advice: diagnosis, medicine\nPolitics")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Saved.").wait_for()
    persona = Persona.objects.get(owner=user)
    assert page.url.endswith(f"/personas/{persona.pk}")
    assert (persona.name, persona.greeting, [tool["type"] for tool in persona.tools]) == (
        "Shop assistant", "Welcome!", ["handover"],
    )  # fmt: skip
    assert [topic["name"] for topic in persona.topics] == ["Medical advice", "Politics"]

    page.get_by_label("Choose files").set_input_files(
        [
            {"name": "handbook.md", "mimeType": "text/markdown", "buffer": HANDBOOK},
            {"name": "locked.pdf", "mimeType": "application/pdf", "buffer": pdfs.locked(["Secret words."])},
        ]
    )
    page.locator(".document").nth(1).wait_for()
    prepared(page)
    page.get_by_text("protected by a password").wait_for()
    assert page.locator(".document", has_text="handbook.md").inner_text().count("2 passages") == 1

    page.get_by_role("searchbox", name="Question").fill("How long is the guarantee?")
    page.get_by_role("button", name="Search").click()
    page.locator(".found li").first.wait_for()
    told = page.locator(".found li").first.inner_text()
    assert "handbook.md" in told
    assert "three years" in told
    page.get_by_role("searchbox", name="Question").fill("zeppelin")
    page.get_by_role("button", name="Search").click()
    page.get_by_text("No passage fits").wait_for()

    page.get_by_role("button", name="Remove handbook.md").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    page.get_by_text("The document was removed.").wait_for()
    page.locator(".document").nth(1).wait_for(state="detached")
    assert Passage.objects.count() == 0
    assert made.broken_rules() == []


def test_what_is_everybodys_is_looked_at_alone(signed_in) -> None:
    shared = Persona.objects.create(owner=None, slug="desk", name="Front desk", greeting="Hello!")
    made, _ = signed_in("/personas/")
    made.page.get_by_role("link", name="Front desk").click()
    made.page.get_by_text("Everybody uses this persona.").wait_for()
    assert made.page.url.endswith(shared.pk)
    assert made.page.get_by_label("Greeting").is_disabled()
    assert not made.page.get_by_role("button", name="Save").is_visible()
    assert not made.page.get_by_role("heading", name="Documents").is_visible()
    sound(made)


def test_a_strangers_persona_is_none(signed_in, live_server) -> None:
    other = User.objects.create_user("eve@example.com", PASSWORD, role=Role.CUSTOMER)
    hidden = Persona.objects.create(owner=other, slug="hidden", name="Hidden")
    made, _ = signed_in(f"/personas/{hidden.pk}")
    made.page.get_by_text("There is no such persona").wait_for()
    assert not made.page.get_by_label("Greeting").is_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_pages_fit_read_well_and_break_no_rule(signed_in, live_server, width, height, theme) -> None:
    made, user = signed_in("/personas/", width=width, height=height, theme=theme)
    page = made.page
    persona = Persona.objects.create(
        owner=user, slug="shop", name="Shop assistant", description="Answers what customers of the shop ask.",
        greeting="Welcome to the shop! What can I do for you?", system_prompt="You help visitors of a shop.",
        topics=[{"name": "Prices of others", "phrases": ["cheaper elsewhere"], "action": "refuse"}],
        tools=[{"type": "end_call"}],
    )  # fmt: skip
    Persona.objects.create(
        owner=None, slug="desk", name="Front desk", description="For everybody.", language="ja"
    )
    page.reload()
    page.get_by_role("link", name="Shop assistant").wait_for()
    sound(made)
    page.goto(f"{live_server.url}/personas/{persona.pk}")
    page.get_by_label("Choose files").set_input_files(
        [
            {"name": "handbook.md", "mimeType": "text/markdown", "buffer": HANDBOOK * 3},
            {"name": "a-very-long-name-of-a-guarantee-that-nobody-reads.pdf", "mimeType": "application/pdf",
             "buffer": pdfs.pdf([f"The guarantee of product {n} lasts for {n} years." for n in range(9)])},
            {"name": "scan.pdf", "mimeType": "application/pdf", "buffer": pdfs.scan(2)},
        ]
    )  # fmt: skip
    page.locator(".document").nth(2).wait_for()
    prepared(page)
    page.get_by_role("searchbox", name="Question").fill("How long is the guarantee?")
    page.get_by_role("button", name="Search").click()
    page.locator(".found li").first.wait_for()
    sound(made)
    if "PARLEY_PICTURES" in os.environ:  # to be looked at
        page.screenshot(path=f"{os.environ['PARLEY_PICTURES']}/persona-{width}-{theme}.png", full_page=True)
