"""Hooks of MkDocs (mkdocs.yml). Links from docs/ to other files of the repository lead to copies of
these files in the site, below source/. Pages stay pages; other files become pages that show them.
Code in tables may hold `\\|`, which GitHub requires and Python-Markdown shows as it is."""

import os
import re

from mkdocs.structure.files import File

LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s:#]+)((?:#[^)\s]*)?\))")
OUTSIDE = "source/"


def page_of(path):
    """The page of the site that shows a file of the repository."""
    if path.startswith("docs/"):
        return path[len("docs/"):]
    return OUTSIDE + (path if path.endswith(".md") else path + ".md")


def path_of(uri):
    """The file that a page was read from; inverse of page_of for Markdown."""
    return uri[len(OUTSIDE):] if uri.startswith(OUTSIDE) else "docs/" + uri


def target(path, link):
    return os.path.normpath(os.path.join(os.path.dirname(path), link))


def content_of(path):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if path.endswith(".md"):
        return text
    return "# %s\n\n```\n%s```\n" % (path, text)


def on_files(files, config):
    """Adds the files outside of docs/ that pages link to, and those that these link to."""
    todo = [page.src_uri for page in files.documentation_pages()]
    while todo:
        path = path_of(todo.pop())
        for _, link, _ in LINK.findall(content_of(path)):
            found = target(path, link)
            uri = page_of(found)
            is_new = uri.startswith(OUTSIDE) and files.get_file_from_path(uri) is None
            if is_new and os.path.isfile(found):
                files.append(File.generated(config, uri, content=content_of(found)))
                todo += [uri] if found.endswith(".md") else []
    return files


def on_page_markdown(markdown, page, **_):
    uri = page.file.src_uri

    def moved(match):
        there = page_of(target(path_of(uri), match[2]))
        return match[1] + os.path.relpath(there, os.path.dirname(uri)) + match[3]

    return LINK.sub(moved, markdown)


def on_page_content(html, **_):
    return re.sub(r"<code>[^<]*</code>", lambda match: match[0].replace(r"\|", "|"), html)


def on_post_page(output, **_):
    """The theme's script sets `disabled` of two style sheets of its highlighter, which is off
    because it comes from elsewhere. Empty ones keep the script from failing."""
    empty = '<style id="hljs-%s"></style>'
    return output.replace("</head>", empty % "light" + empty % "dark" + "</head>", 1)
