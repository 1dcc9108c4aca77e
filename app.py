"""What gunicorn (`gunicorn app:app`) and flask look for. The service is put together in offhook/service.py."""

from offhook.main import create_app

app = create_app()
