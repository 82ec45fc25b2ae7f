"""The option that rewrites the golden files."""


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true",
                     help="write the answers of tests/golden anew")
