"""Sign-in pages."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.views import LoginView, LogoutView, PasswordChangeView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.templatetags.static import static
from django.urls import reverse_lazy
from django.views.decorators.http import require_safe


class SignIn(LoginView):
    template_name = "web/login.html"
    redirect_authenticated_user = True


class SignOut(LogoutView):
    pass


class ChangePassword(PasswordChangeView):
    template_name = "web/password.html"
    success_url = reverse_lazy("studio:account")

    def form_valid(self, form: Any) -> HttpResponse:
        answer = super().form_valid(form)
        messages.success(self.request, "Your password was changed.")
        return answer


@require_safe
def favicon(_request: HttpRequest) -> HttpResponse:
    """Browsers that ask for the old name before they have read a page."""
    return HttpResponseRedirect(static("web/favicon.svg"))
