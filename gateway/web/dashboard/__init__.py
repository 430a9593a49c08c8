"""The dashboard: server-rendered pages over the reports, for people in a browser.

``shell`` is the frame that all pages share, ``templates/macros.html`` the parts they are made of,
``static/faregate.css`` the design system. A page is one module with a blueprint of its own
(``shell.pages(...)``), plain functions that assemble what it shows, and one template.
"""
